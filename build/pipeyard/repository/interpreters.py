"""Interpreters of Python on this machine, besides those of components' environments."""

import functools
import os
import subprocess
from dataclasses import dataclass

from pipeyard.errors import PipeyardError

_SECONDS = 60


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine.

    Attributes:
        version: in full, `3.11.4`.
    """

    path: str
    version: str


@functools.cache
def find(uv: str, version: str) -> Interpreter:
    """Returns a Python that is on this machine; none is downloaded.

    Args:
        uv: the program that looks for it.
        version: `3.11`, or in full.

    Raises:
        PipeyardError: there is none of the version.
    """
    request = ["python", "find", "--no-python-downloads", "--no-project", "--system", version]
    # What is active here, an environment of ours for one, isn't what is meant.
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "UV_PYTHON"}}
    try:
        found = subprocess.run(
            [uv, *request], env=env, capture_output=True, text=True, check=True, timeout=_SECONDS
        ).stdout.strip()
        code = "import platform; print(platform.python_version())"
        told = subprocess.run([found, "-c", code], capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise PipeyardError(
            f"Python {version} isn't on this machine. Install it (`uv python install {version}`), take an image of a "
            "Python that is here, or run in containers (--runner docker)."
        ) from error
    return Interpreter(found, told.strip())
