"""What runs a step: a process on this machine, or a container of the step's image."""

import os
import re
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from pipeyard.ci import flow, substitutions
from pipeyard.ci.build_config import BuildStep
from pipeyard.errors import PipeyardError
from pipeyard.repository import venvs
from pipeyard.system import process

WORKSPACE = "/workspace"
_NAMES_WORKSPACE = re.compile(rf"(?<![\w./-]){WORKSPACE}(?![\w.-])")  # and no other folder that is called so
_HOME = "/builder/home"
_SHEBANG = "#!/bin/sh\n"
# Of the machine's variables, what would make a step go by where it was started from: what CI sets, and Python's and
# make's own.
_NOT_INHERITED = {
    *substitutions.BUILT_IN,
    *(each.name for each in flow.VARIABLES),
    "VIRTUAL_ENV",
    "PYTHONPATH",
    *venvs.NOT_INHERITED,
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
}
# Images whose entrypoint is the program that they are called after.
_CLOUD_BUILDERS = "cloud-builders"
# A program that is open for writing can't be executed ("text file busy"), and until it executes its own, a process that
# another thread starts meanwhile holds open what is being written here.
_STARTING = threading.Lock()


class StepExecutor(Protocol):
    """Runs one step to its end."""

    @property
    def secrets(self) -> Mapping[str, str]:
        """Name to value."""

    def run(self, step: BuildStep, log: Path, timeout: float, canceled: Callable[[], bool]) -> process.Ended:
        """Runs a step; its output goes to `log`.

        Args:
            timeout: seconds.
            canceled: becomes true when it should stop.
        """


@dataclass(frozen=True)
class OnHost:
    """Steps are processes of this machine, in the workspace; images aren't looked at.

    Attributes:
        folder: of the workspace.
        scripts: folder for the steps' scripts.
        variables: the machine's.
        secrets: name to value.
    """

    folder: Path
    scripts: Path
    variables: Mapping[str, str]
    secrets: Mapping[str, str]

    def run(self, step: BuildStep, log: Path, timeout: float, canceled: Callable[[], bool]) -> process.Ended:
        """See `StepExecutor`."""
        if text := _elsewhere(step):
            raise PipeyardError(f"{step.name} {text}. Use paths relative to the source, or --steps docker.")
        folder = self.folder / relative(step.folder)
        inherited = {
            key: value
            for key, value in self.variables.items()
            if key not in {*_NOT_INHERITED, *self.secrets} and not key.startswith(("_", "PIPEYARD_"))
        }
        env = {**inherited, **step.env, **{name: self.secrets[name] for name in step.secrets}}
        try:
            with _STARTING:
                command = self._command(step)
                if not command:
                    return process.Ended(None, cause=f"what {step.image} begins isn't known here: use --steps docker")
                started = process.start(command, env, log, folder=folder)
        except FileNotFoundError as error:
            return process.Ended(
                None, cause=f"{error.filename} isn't on this machine: install it, or use --steps docker"
            )
        return process.wait(started, canceled, timeout)

    def _command(self, step: BuildStep) -> list[str]:
        if step.script:
            return [str(written(step, self.scripts))]
        if step.entrypoint:
            return [step.entrypoint, *step.args]
        image = PurePosixPath(step.image.partition(":")[0])
        return [image.name, *step.args] if image.parent.name == _CLOUD_BUILDERS else list(step.args)


@dataclass(frozen=True)
class InContainers:
    """Steps are containers, as on Cloud Build: the workspace, a home folder and the engine's socket are mounted.

    Attributes:
        docker: path of Docker's client.
        home: folder that steps have as their home.
        network: the containers'; '' for the engine's default.
        name: that all containers' names begin with.
    """

    docker: str
    folder: Path
    scripts: Path
    home: Path
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    name: str
    network: str = ""

    def run(self, step: BuildStep, log: Path, timeout: float, canceled: Callable[[], bool]) -> process.Ended:
        """See `StepExecutor`."""
        container = f"{self.name}-{step.index}"
        secrets = {name: self.secrets[name] for name in step.secrets}
        with _STARTING:
            started = process.start([*self._command(step, container)], {**self.variables, **secrets}, log)
        try:
            return process.wait(started, canceled, timeout)
        finally:
            subprocess.run(
                [self.docker, "rm", "--force", container], env=dict(self.variables), capture_output=True, check=False
            )

    def _command(self, step: BuildStep, container: str) -> list[str]:
        mounts = {str(self.folder): WORKSPACE, str(self.home): _HOME}
        mounts |= {str(self._volume(name)): path for name, path in step.volumes.items()}
        if (host := self.variables.get("DOCKER_HOST", "unix:///var/run/docker.sock")).startswith("unix://"):
            mounts[host.removeprefix("unix://")] = "/var/run/docker.sock"
        # The workspace may belong to another user than the container's, which git refuses unless configured.
        env = {"HOME": _HOME, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        env |= step.env
        command = [
            self.docker,
            "run",
            "--name",
            container,
            f"--workdir={PurePosixPath(WORKSPACE, relative(step.folder))}",
        ]
        if self.network:
            command.append(f"--network={self.network}")
        args = list(step.args)
        entrypoint = step.entrypoint
        if step.script:
            script = written(step, self.scripts)
            entrypoint = f"/builder/scripts/{script.name}"
            mounts[str(script)] = entrypoint
        command += [f"--volume={source}:{target}" for source, target in mounts.items()]
        command += [f"--env={key}={value}" for key, value in env.items()]
        command += [f"--env={name}" for name in step.secrets]  # by name alone: a command line is no secret
        command += [f"--entrypoint={entrypoint}"] if entrypoint else []
        return [*command, step.image, *args]

    def _volume(self, name: str) -> Path:
        folder = self.home.with_name("volumes") / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def relative(folder: str) -> PurePosixPath:
    """Returns a step's `dir` relative to the workspace; one that is elsewhere stays as it is."""
    path = PurePosixPath(folder)
    return path.relative_to(WORKSPACE) if path.is_relative_to(WORKSPACE) else path


def _elsewhere(step: BuildStep) -> str:
    """Returns what a step needs that a container would have and this machine lacks; '' if nothing."""
    for text in (*step.args, step.script, *step.env.values()):
        for line in text.splitlines():
            if _NAMES_WORKSPACE.search(line):
                return f"names {WORKSPACE} ({line.strip()}), which is elsewhere for steps on the host"
    if step.volumes:
        return f"has the volume {next(iter(step.volumes))}, which steps on the host haven't"
    if relative(step.folder).is_absolute():
        return f"works in {step.folder}, which on the host is no folder of the build's"
    return ""


def written(step: BuildStep, folder: Path) -> Path:
    """Writes a step's script as a program; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step.index}"
    path.write_text(step.script if step.script.startswith("#!") else _SHEBANG + step.script, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


def docker_client() -> str:
    """Returns the path of Docker's client.

    Raises:
        PipeyardError: there is none.
    """
    found = shutil.which("docker", path=os.environ.get("PATH"))
    if not found:
        raise PipeyardError("docker isn't on PATH. Install it, or run the steps with --steps host.")
    return found
