"""Environments for steps of Python's official image: lightweight components above all.

A step's own command installs its packages with pip and then does its work, as it does in a container. Here it finds an
environment in which they are installed already: one for each text that installs packages and each Python, made by
running that text once. Packages' programs name the folder of their environment, so it is made where it stays, and
counts when its stamp, which is written last, is there.
"""

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeyard.compiling.passes import lightweight
from pipeyard.compiling.passes.lightweight import PythonStep
from pipeyard.errors import PipeyardError
from pipeyard.local.steps import Host, host_of
from pipeyard.repository import interpreters, venvs
from pipeyard.repository.interpreters import Interpreter
from pipeyard.system import files
from stepkit import digest

_STAMP = ".complete"
_TAIL_LINES = 15
# In the text of a component with `use_venv`.
_OWN_VENV = "-m venv"
_HAS_KFP = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('kfp'))"
# Of the user's: they would have pip install elsewhere, or Python import from there.
_NOT_INHERITED = {*venvs.NOT_INHERITED, "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON"}
# pip is told of an index that uv has been told of: packages come from where the toolchain's come from.
_INDEXES = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "PIP_FIND_LINKS": ("UV_FIND_LINKS",),
}


def default_folder(env: Mapping[str, str]) -> Path:
    """Returns where environments are kept for all projects of a user; it may be removed while nothing runs."""
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pipeyard" / "python"


class PythonEnvironments:
    """Environments in a folder, which any number of processes may use at once.

    Args:
        uv: gives the program that makes them; raises PipeyardError if there is none.
        base: environment variables of the user, from which steps and pip get theirs.
    """

    def __init__(self, folder: Path, uv: Callable[[], str], base: Mapping[str, str]) -> None:
        self._folder = folder
        self._uv = uv
        self._base = base

    def image_host(self, image: str) -> Host:
        """Returns the host of Python's image, which depends on the container; it prepares nothing."""
        return Host("python", image, {}, of_container=self.host)

    def host(self, container: Mapping[str, Any]) -> Host:
        """Returns the host of a container of Python's image.

        Raises:
            PipeyardError: it can't run here, see `lightweight.needed`; or its Python isn't on this machine.
        """
        step = lightweight.needed(container)
        interpreter = interpreters.find(self._uv(), step.version)
        place = self._folder / _key(step, interpreter)
        image = [container["image"], interpreter.version, step.bootstrap]
        return Host(
            component=step.name,
            source_digest=digest.of_text(json.dumps(image)),
            env=self._variables(step, interpreter, place),
            prepare=functools.partial(self._prepare, step, interpreter, place),
            prepared=(place / _STAMP).is_file,
            scratch=True,
        )

    def _variables(self, step: PythonStep, interpreter: Interpreter, place: Path) -> dict[str, str]:
        base = self._base
        found = {
            **{name: value for name, value in base.items() if name not in _NOT_INHERITED},
            **_indexes(base),
            "VIRTUAL_ENV": str(place),
            "PATH": os.pathsep.join([str(place / "bin"), base.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
        }
        if _OWN_VENV in step.bootstrap:  # the environment that it makes is to have the packages of this one, too
            minor = ".".join(interpreter.version.split(".")[:2])
            found["PYTHONPATH"] = str(place / "lib" / f"python{minor}" / "site-packages")
        return found

    def _prepare(self, step: PythonStep, interpreter: Interpreter, place: Path, say: Callable[[str], None]) -> None:
        if (place / _STAMP).is_file():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with files.locked(place.parent / f".{place.name}.lock") as lock:
            if (place / _STAMP).is_file():
                return
            say(f"making the environment of {step.name} with Python {interpreter.version}")
            shutil.rmtree(place, ignore_errors=True)  # what one that was killed left
            try:
                self._make(step, interpreter, place, lock)
                files.write_whole(place / _STAMP, "")
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise

    def _make(self, step: PythonStep, interpreter: Interpreter, place: Path, lock: int) -> None:
        def run(command: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
            # It holds the lock itself, should this process be killed meanwhile.
            return subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, pass_fds=[lock]
            )

        create = [self._uv(), "venv", "--quiet", "--no-project", "--python", interpreter.path, str(place)]
        env = self._variables(step, interpreter, place)
        made = run([*create, "--seed"], self._base)
        if made.returncode:  # no index for uv: Python brings pip itself
            made = run(create, self._base)
            made = made if made.returncode else run([str(place / "bin/python"), "-m", "ensurepip"], env)
        if made.returncode:
            raise PipeyardError(
                f"The environment of {step.name!r} can't be made; check the network and the disk's free space, then "
                f"run again.\n{_tail(made)}"
            )
        if not step.bootstrap:
            return
        with tempfile.TemporaryDirectory(prefix="pipeyard-") as scratch:
            filled = run(["sh", "-c", step.bootstrap, "true"], {**env, "TMPDIR": scratch})
        if filled.returncode:
            raise PipeyardError(
                f"The packages of {step.name!r} can't be installed in Python {interpreter.version}: {_said(filled)} "
                "Check their names and versions in packages_to_install, and the package index: pip's own settings "
                "(PIP_INDEX_URL, pip.conf), or pip_index_urls of the component."
            )
        if _OWN_VENV not in step.bootstrap and run([str(place / "bin/python"), "-c", _HAS_KFP], env).returncode:
            raise PipeyardError(
                f"The function {step.name!r} is called by kfp, which its packages lack. Leave "
                "install_kfp_package=False out of its @dsl.component, or name kfp in packages_to_install."
            )


def ready(hosts: Callable[[str], Host], say: Callable[[str], None], container: Mapping[str, Any]) -> None:
    """Makes the environment of a container of Python's image, so that nothing of it can fail once steps run.

    Raises:
        PipeyardError: it can't be made.
    """
    if not lightweight.is_python(container["image"]):
        return
    try:
        host = host_of(hosts, container)
    except PipeyardError:  # on a condition: it was warned of
        return
    host.prepare(say)


def _indexes(base: Mapping[str, str]) -> dict[str, str]:
    """Returns pip's variables for the package indexes that the user has told uv of, but not pip."""
    return {
        name: base[given]
        for name, others in _INDEXES.items()
        if name not in base and (given := next((each for each in others if base.get(each)), ""))
    }


def _key(step: PythonStep, interpreter: Interpreter) -> str:
    text = json.dumps([interpreter.path, interpreter.version, step.bootstrap, step.own])
    return f"{interpreter.version}-{digest.of_text(text)[:16]}"


def _said(ended: subprocess.CompletedProcess[str]) -> str:
    """Returns what pip says is wrong, which names the package; else the end of what was printed."""
    errors = [line.removeprefix("ERROR: ") for line in ended.stderr.splitlines() if line.startswith("ERROR: ")]
    return f"{errors[-1].rstrip('.')}." if errors else f"\n{_tail(ended)}\n"


def _tail(ended: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-_TAIL_LINES:])
