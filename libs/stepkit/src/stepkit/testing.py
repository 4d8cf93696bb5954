"""For tests of components: the same step in unlike surroundings.

A step's outputs may depend on what it is given only, byte for byte: what is derived from them (digests, cache hits, the
versions of a model) depends on it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stepkit import digest

# Hash tables of text, time, language: what comes from the environment and must not come through.
_PLACES = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
    {"PYTHONHASHSEED": "4711", "TZ": "Asia/Kathmandu", "LANG": "C", "LC_ALL": "C"},
)


def run_in_unlike_places(
    program: str, inputs: Path, flags: Callable[[Path, Path], Sequence[str]], folder: Path
) -> list[dict[str, str]]:
    """Runs `python -m program` once in each of two places, at the same time.

    They differ in environment, in the number of CPUs that may be used, and in the names of all folders (of the inputs,
    of the outputs, for temporary files, the current one); their inputs are the same, made in another order.

    Args:
        inputs: folder of files.
        flags: gives the arguments for a copy of that folder, and a folder for all outputs.
        folder: an empty one, for the places.

    Returns:
        The sha256 of each file among the outputs by its path, of each place.

    Raises:
        AssertionError: a step failed.
    """
    cpus = sorted(os.sched_getaffinity(0))
    started = []
    for number, environment in enumerate(_PLACES):
        place = folder / f"place{'-elsewhere' * number}"
        for name in ("out", "temporary", "current"):
            (place / name).mkdir(parents=True)
        _copy(inputs, place / "in", last_first=bool(number))
        variables = {**os.environ, **environment, "TMPDIR": str(place / "temporary")}
        os.sched_setaffinity(0, cpus[:1] if number else cpus)
        try:
            with (place / "log").open("wb") as log:
                process = subprocess.Popen(  # pylint: disable=consider-using-with  # waited for below
                    [sys.executable, "-m", program, *flags(place / "in", place / "out")],
                    stdout=log,
                    stderr=log,
                    env=variables,
                    cwd=place / "current",
                )
        finally:
            os.sched_setaffinity(0, cpus)
        started.append((process, place))
    codes = [process.wait() for process, _ in started]
    for code, (_, place) in zip(codes, started, strict=True):
        assert code == 0, (place / "log").read_text(encoding="utf-8")
    return [_digests(place / "out") for _, place in started]


def _copy(source: Path, target: Path, last_first: bool) -> None:
    for path in sorted(source.rglob("*"), reverse=last_first):
        if path.is_file():
            copied = target / path.relative_to(source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): digest.of_file(path) for path in files}
