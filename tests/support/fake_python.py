"""Environments of Python's image that take no network and no time: uv and pip only write down what they are asked.

What is run in them is real: kfp's own program, by the toolchain's interpreter, which has kfp.
"""

import os
import sys
from pathlib import Path

from pipeyard.local.python_environments import PythonEnvironments

# The version that isn't on this machine; the package that no index has.
NO_VERSION = "3.99"
NO_PACKAGE = "nosuch==9"
_UV = """#!/bin/sh
for last; do :; done
if [ "$1" = python ]; then
  [ "$last" != {absent} ] || exit 1
  echo {python}; exit
fi
for each; do case "$each" in /*) place=$each;; esac; done
echo "venv $place" >> {log}
mkdir -p "$place/bin" && cp {interpreter} "$place/bin/python3" && cp {interpreter} "$place/bin/python"
"""
_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m pip" ]; then
  echo "pip $*" >> {log}
  case "$*" in *{package}*) echo "ERROR: Could not find a version" >&2
    echo "ERROR: No matching distribution found for {package}" >&2; exit 1;; esac
  exit 0
fi
exec {python} "$@"
"""


class FakePython:
    """A folder with a uv, and environments that it makes.

    Attributes:
        environments: for steps.
        uv: the program that makes them.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        folder.mkdir()
        self._log = folder / "log"
        self._log.touch()
        interpreter = folder / "interpreter"
        uv = self.uv = folder / "uv"
        told = {"log": self._log, "python": sys.executable, "interpreter": interpreter}
        for path, text in ((interpreter, _PYTHON), (uv, _UV)):
            path.write_text(text.format(**told, absent=NO_VERSION, package=NO_PACKAGE), encoding="utf-8")
            path.chmod(0o755)
        self.folder = folder / "environments"
        self.environments = PythonEnvironments(self.folder, lambda: str(uv), {**os.environ, **variables})

    @property
    def made(self) -> int:
        """How many environments were made."""
        return sum(line.startswith("venv ") for line in self._lines())

    @property
    def installs(self) -> list[str]:
        """What pip was asked."""
        return [line for line in self._lines() if line.startswith("pip ")]

    def _lines(self) -> list[str]:
        return self._log.read_text(encoding="utf-8").splitlines()
