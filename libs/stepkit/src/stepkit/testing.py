"""For tests of components: a trainer's step in this process, and any step in unlike surroundings.

A step's outputs may depend on what it is given only, byte for byte: what is derived from them (digests, cache hits, the
versions of a model) depends on it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from stepkit import digest

# Hash tables of text, time, language: what comes from the environment and must not come through.
_PLACES = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
    {"PYTHONHASHSEED": "4711", "TZ": "Asia/Kathmandu", "LANG": "C", "LC_ALL": "C"},
)


@dataclass
class Trainer:
    """A step of a trainer. Subclasses say whose: its program, and what every run is given.

    Attributes:
        examples, graph: outputs of transform.
        out: folder for all outputs; need not be there.
    """

    program: ClassVar[str]
    main: ClassVar[Callable[[Sequence[str]], int]]
    module: ClassVar[str]
    flags: ClassVar[Mapping[str, object]]

    examples: Path
    graph: Path
    out: Path

    def argv(self, module: str | None = None, **flags: object) -> list[str]:
        """Returns the arguments, of a run with another module or other flags where they are given."""
        given = {
            "transformed_examples": self.examples,
            "transform_graph": self.graph,
            "module": self.module if module is None else module,
            "model": self.out / "model",
            "best_hyperparameters": self.out / "best_hyperparameters",
            "tensorboard_logs": self.out / "tensorboard_logs",
            "report": self.out / "report.html",
            "metrics": self.out / "metrics.json",
        }
        pairs = {**given, **self.flags, **flags}.items()
        return [word for name, value in pairs for word in (f"--{name.replace('_', '-')}", str(value))]

    def run(self, module: str | None = None, **flags: object) -> int:
        """Runs the step; returns its exit code."""
        return type(self).main(self.argv(module, **flags))

    def refused(self, printed: Callable[[], Any], module: str | None = None, **flags: object) -> str:
        """Runs a step that has to fail for its input, without a traceback and with nothing written.

        Args:
            printed: returns what was printed since it was last called: pytest's `capfd.readouterr`.

        Returns:
            The error, a line.
        """
        assert self.run(module, **flags) == 1
        stderr: str = printed().err
        assert "Traceback" not in stderr
        assert self.written() == []
        lines = [line for line in stderr.splitlines() if line.startswith(f"{self.program}: error: ")]
        assert len(lines) == 1, stderr
        return lines[0]

    def metrics(self) -> dict[str, Any]:
        """Returns the output `metrics`."""
        found: dict[str, Any] = json.loads((self.out / "metrics.json").read_text(encoding="utf-8"))
        return found

    def written(self) -> list[str]:
        """Returns the names of what is in the folder of outputs."""
        return sorted(path.name for path in self.out.iterdir()) if self.out.exists() else []


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
