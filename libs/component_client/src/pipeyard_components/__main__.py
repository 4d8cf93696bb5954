"""`pipeyard-components`: what a repository that imports components does with its lock."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard_components import lock_file
from pipeyard_components.errors import PipeyardError

if TYPE_CHECKING:
    from pipeyard_components.compatibility import Comparison
    from pipeyard_components.locking import Locks


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code: 1 if something isn't as it should be."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr)
    from pipeyard_components.locking import Locks

    locks = Locks(given.lock, given.offline)
    try:
        code: int = given.run(locks, given)
    except (PipeyardError, OSError) as error:
        print(f"pipeyard-components: error: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("pipeyard-components", description="Pins components of other repositories.")
    below = parser.add_subparsers(required=True, metavar="COMMAND")
    commands = {
        "add": (_add, "Lock a component of a store, by a tag, a digest, or the newest."),
        "update": (_update, "Lock what the tags name now, and say what changed. Names none: all."),
        "verify": (_verify, "Exit code 1 if anything isn't as the lock says, or was yanked. For CI."),
        "diff": (_diff, "Say what update would change."),
        "stubs": (_stubs, "Write typed stubs (.pyi) of what is locked, or of a store's components, for editors."),
        "why": (_why, "Say what is locked under a name, and who uses it."),
    }
    made = {}
    for name, (run, text) in commands.items():
        made[name] = below.add_parser(name, help=text, description=text)
        made[name].set_defaults(run=run)
        made[name].add_argument("--lock", type=Path, default=Path(lock_file.NAME), help="default: %(default)s")
        made[name].add_argument("--offline", action="store_true", help="ask no URL; take what the cache has")
    made["add"].add_argument("source", metavar="URL", help="of a store: https://, oci://, gs://, s3://, or a folder")
    made["add"].add_argument("component", metavar="NAME[@TAG]")
    made["add"].add_argument("--vendor", action="store_true", help=f"keep a copy in {lock_file.VENDORED}/")
    made["add"].add_argument("--replace", action="store_true", help="take the place of another store's")
    for name in ("update", "diff"):
        made[name].add_argument("names", nargs="*", metavar="NAME")
        made[name].add_argument("--json", action="store_true", help="print the changes as JSON")
    made["stubs"].add_argument(
        "output", type=Path, metavar="FILE", help="of the stub: MODULE.pyi beside your MODULE.py"
    )
    made["stubs"].add_argument("--store", metavar="URL", default="", help="all components of this store instead")
    made["why"].add_argument("name", metavar="NAME")
    return parser


def _add(locks: Locks, given: argparse.Namespace) -> int:
    found = locks.add(given.source, given.component, given.vendor, given.replace)
    print(f"{given.component.partition('@')[0]} {found.digest} from {found.source}")
    return 0


def _update(locks: Locks, given: argparse.Namespace) -> int:
    return _tell(locks.update(given.names), given.json)


def _diff(locks: Locks, given: argparse.Namespace) -> int:
    return _tell(locks.diff(given.names), given.json)


def _tell(changes: dict[str, Comparison], as_json: bool) -> int:
    if as_json:
        print(json.dumps({name: each.as_json() for name, each in changes.items()}, indent=1))
        return 0
    for name, each in changes.items():
        print(name, *dict.fromkeys(filter(None, (each.old.version, each.new.version))))
        for change in each.changes:
            print(f"  {change}")
    if not changes:
        print("nothing changed")
    return 0


def _verify(locks: Locks, given: argparse.Namespace) -> int:
    del given
    found = locks.verify()
    for problem in found:
        print(problem, file=sys.stderr)
    if not found:
        print(f"all is as {locks.path} says")
    return 1 if found else 0


def _stubs(locks: Locks, given: argparse.Namespace) -> int:
    from pipeyard_components import stubs
    from pipeyard_components.spec_cache import write_whole

    if given.output.suffix != ".pyi":
        raise PipeyardError(f"{given.output} is no name of a stub. Write {given.output.with_suffix('.pyi')}.")
    loaded = locks.load_all(given.store) if given.store else locks.load_components()
    write_whole(given.output, stubs.render({name: loaded[name] for name in loaded}).encode())
    print(f"wrote {given.output}")
    return 0


def _why(locks: Locks, given: argparse.Namespace) -> int:
    found, uses = locks.why(given.name)
    print(f"{given.name} {found.digest}\nfrom {found.source}, {found.version or 'the newest'}")
    print("\n".join(f"runs {each}" for each in found.images))
    if found.deprecated:
        print(f"deprecated: {found.deprecated}")
    print("\n".join(f"named in {each}" for each in uses) or "no Python file here names it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
