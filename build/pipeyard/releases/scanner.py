"""Vulnerability scanners: a command of the user's for each image, whose report is kept and whose exit code counts."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.system import files

_FIELD = re.compile(r"\{(\w+)\}")
_TAIL = 10


def command(template: str, fields: Mapping[str, str]) -> list[str]:
    """Returns a command as its words, with `{field}`s filled in.

    Raises:
        PipeyardError: it is empty or has an unknown field, or its program isn't there.
    """
    words = shlex.split(template)
    unknown = [name for word in words for name in _FIELD.findall(word) if name not in fields]
    if unknown:
        raise PipeyardError(f"--scan {template!r} has {{{unknown[0]}}}. {near_misses(unknown[0], fields)}")
    if not words:
        raise PipeyardError("--scan is empty. Give a command, like 'grype sbom:{sbom} --fail-on high'.")
    if not shutil.which(words[0]):
        raise PipeyardError(f"--scan: {words[0]} isn't on PATH. Install it, or leave out --scan.")
    return [_FIELD.sub(lambda match: fields[match[1]], word) for word in words]


def scan(
    template: str, images: Mapping[str, Mapping[str, str]], reports: Path, tell: Callable[[str, str], None]
) -> None:
    """Runs a scanner for each image, and keeps what it prints as `<reports>/<name>.txt`.

    Args:
        template: a command with the fields of `images`.
        images: name to fields.
        tell: hears what is being done: image, and a phrase.

    Raises:
        PipeyardError: the command can't run, or its exit code is another than 0 for some image. All are scanned before.
    """
    commands = {name: command(template, fields) for name, fields in images.items()}
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    failed = {}
    for name, words in commands.items():
        tell(name, "scanning")
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        files.write_whole(reports / f"{name}.txt", done.stdout)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-_TAIL:]
            failed[name] = f"{name}: exit code {done.returncode}\n" + "\n".join(said)
    if failed:
        raise PipeyardError(
            f"{shlex.split(template)[0]} refuses {len(failed)} of {len(images)} images. Reports: {reports}\n"
            + "\n".join(failed.values())
        )
