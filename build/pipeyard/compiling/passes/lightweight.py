"""Steps of Python's official image: what of it they need, by which they run where that Python is, without a container.

kfp makes a command of a function under `@dsl.component`: a shell script that installs packages with pip and then runs
what follows it (the bootstrap), and a program of kfp that calls the function.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeyard.errors import PipeyardError

# As Docker Hub has it, or a mirror of that.
_IMAGE = re.compile(r"(?:docker\.io/|(?:\S+/)?library/)?python(?::(?P<tag>[\w.-]+))?(?:@sha256:[0-9a-f]{64})?")
_VERSION = re.compile(r"(3(?:\.\d+){1,2})(?:-(?!windows|nanoserver)[\w.-]+)?")
_EXECUTOR = "kfp.dsl.executor_main"
_PIP = "-m pip install"
# What changes more than an environment of Python.
_SYSTEM = re.compile(r"\b(apt-get|apt|apk|dpkg|dnf|yum)\b(?=\s+\S)")
_INSTALLS = re.compile(r"\b(pip3?|uv|ensurepip)\b")


@dataclass(frozen=True)
class PythonStep:
    """What a step needs of Python's image.

    Attributes:
        name: of the function, if it is one.
        version: of Python, `3.11` or `3.11.4`.
        bootstrap: shell script that installs its packages and then runs its arguments; '': it needs none.
        own: stands for its command, if that may install packages by itself: no other step has to find them.
    """

    name: str
    version: str
    bootstrap: str = ""
    own: str = ""


def is_python(image: str) -> bool:
    """Whether an image is Python's official one, or a mirror of it."""
    return bool(_IMAGE.fullmatch(image))


def is_function(container: Mapping[str, Any]) -> bool:
    """Whether a container calls a function through kfp."""
    return any(_EXECUTOR in part for part in container.get("command", ()))


def needed(container: Mapping[str, Any]) -> PythonStep:
    """Returns what a container of Python's image needs of it.

    Raises:
        PipeyardError: it doesn't say which Python, lacks kfp, which its function needs, or its command would change the
            machine.
    """
    image = container["image"]
    name = _name(container)
    match = _IMAGE.fullmatch(image)
    version = _VERSION.fullmatch(match["tag"] or "") if match else None
    if not version:
        raise PipeyardError(
            f"the image {image!r} doesn't say which Python 3 it has, so it can't run without a container engine. Write "
            "the version: python:3.11."
        )
    if not is_function(container):
        command = [*container.get("command", ()), *container.get("args", ())]
        own = "\n".join(map(str, command))
        if system := _SYSTEM.search(own):
            raise PipeyardError(
                f"its command calls {system[0]}, which would change this machine: it needs a container engine. Run in "
                "containers (--runner docker), or take an image in which the package is."
            )
        return PythonStep(name, version[1], own=own if _INSTALLS.search(own) else "")
    bootstrap = _bootstrap(container)
    if not bootstrap:
        raise PipeyardError(
            f"the function {name!r} is called by kfp, which the image {image!r} hasn't got. Leave "
            "install_kfp_package=False out of its @dsl.component."
        )
    return PythonStep(name, version[1], bootstrap)


def check_component(component: str, container: Mapping[str, Any]) -> None:
    """Checks that a step in the image of one of the project's components isn't a function.

    Raises:
        PipeyardError: it is; these images have neither pip nor kfp.
    """
    if is_function(container):
        raise PipeyardError(
            f"its base_image is that of the component {component!r}, which has neither pip nor kfp to call the "
            f"function {_name(container)!r} with. Use base_image='python:3.11', and name what it imports in "
            "packages_to_install."
        )


def _bootstrap(container: Mapping[str, Any]) -> str:
    command = container.get("command", ())
    before = command[: next(index for index, part in enumerate(command) if _EXECUTOR in part)]
    return next((part for part in before if _PIP in part), "")


def _name(container: Mapping[str, Any]) -> str:
    args = list(container.get("args", ()))
    flag = "--function_to_execute"
    return str(args[args.index(flag) + 1]) if flag in args[:-1] else "python"
