"""What a step's pipeline module read beside the step's inputs, as the step reports it (see `stepkit.module_reads`).

It is known when the step has ended. So it is kept with the step's outputs, which are taken again only while all of it
is as it was: files, listed folders and variables, each by a digest of its content.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeyard.local import external
from pipeyard.system import files, jsons
from stepkit import digest
from stepkit.module_reads import REPORT, state_of

__all__ = ["REPORT", "changed", "load", "report_path", "save", "taken"]

# What was read to a digest of what was there: `file PATH`, `folder PATH`, `variable NAME`, `declared URI`.
ModuleReads = Mapping[str, str]
_FILE = "module_reads.json"


def report_path(outputs: Path) -> Path:
    """Returns where a step that writes its outputs into a folder reports."""
    return outputs / ".module_reads.json"


def taken(report: Path, env: Mapping[str, str], keyed: Sequence[str]) -> tuple[ModuleReads, str]:
    """Returns what a step reports, with what is there now; and why that can't be known ('': it is).

    Args:
        env: the step's environment variables.
        keyed: paths that count by themselves: the run's folder, input artifacts.
    """
    try:
        told = jsons.read(report)
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"not cached: what its module read can't be known ({error})"
    own = tuple(f"{path.rstrip('/')}/" for path in keyed)
    opened = {path: state for path, state in told["files"].items() if not f"{path}/".startswith(own)}
    meant = [
        *(f"file {path}" for path in opened),
        *(f"folder {path}" for path in told["folders"] if not f"{path}/".startswith(own)),
        *(f"variable {name}" for name in told["variables"]),
        *(f"declared {uri}" for uri in told["declared"]),
    ]
    found = {each: _now(each, env) for each in meant}
    unknown = [each.partition(" ")[2] for each, content in found.items() if content is None]
    if unknown:
        return {}, f"not cached: its module reads {', '.join(unknown)}, which has no checksum"
    late = [path for path, state in opened.items() if not _same(path, state)]
    if late:
        return {}, f"not cached: what its module read changed while it ran: {', '.join(late)}"
    return {each: content for each, content in found.items() if content is not None}, ""


def changed(reads: ModuleReads, env: Mapping[str, str]) -> list[str]:
    """Returns what isn't any more as it was when it was read.

    Args:
        env: the environment variables that the step would have now.
    """
    return [each for each, content in reads.items() if _now(each, env) != content]


def save(folder: Path, reads: ModuleReads) -> None:
    """Keeps what a task's module read in the task's folder, for when its run is resumed."""
    path = folder / _FILE
    if reads:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, json.dumps(dict(reads), indent=1))
    else:
        path.unlink(missing_ok=True)


def load(folder: Path) -> dict[str, str] | None:
    """Returns what `save` kept; None if it is damaged."""
    try:
        kept: Any = jsons.read(folder / _FILE)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


def _now(read: str, env: Mapping[str, str]) -> str | None:
    """Returns a digest of what is there; None if there is none."""
    kind, _, name = read.partition(" ")
    try:
        if kind == "variable":
            return digest.of_text(env[name]) if name in env else external.ABSENT
        if kind == "folder":
            return digest.of_listing(Path(name)) if Path(name).is_dir() else external.ABSENT
        if kind == "file":
            return digest.of_tree(Path(name)) if Path(name).exists() else external.ABSENT
        found = external.fingerprint([name], {})
        return "\n".join(found.values()) if found is not None else None
    except OSError:
        return None


def _same(path: str, state: list[int] | None) -> bool:
    """Whether a file is still as it was when it was opened; one that this machine hasn't was in the container."""
    now = state_of(path)
    return now is None or now == state
