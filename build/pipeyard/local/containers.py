"""The launcher of containers: each attempt of a task is one container of its image."""

import contextlib
import functools
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeyard.compiling.passes import lightweight
from pipeyard.errors import PipeyardError
from pipeyard.local import reaper, resources, sandbox
from pipeyard.local.engine import Engine
from pipeyard.local.launcher import Launch
from pipeyard.local.resources import ResourceLimits
from pipeyard.local.runner import declarations
from pipeyard.local.sandbox import Bind, User
from pipeyard.local.steps import Host
from pipeyard.repository.project import Project, last_segment
from pipeyard.system.process import CANCELED, Ended

RUN_LABEL = "dev.pipeyard.run"
TASK_LABEL = "dev.pipeyard.task"
_UNFIT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


class Containers:
    """See `launcher.Launcher`.

    Args:
        network: that containers are in; '' for the engine's default.
        folder: the run's.
        pass_fds: file descriptors that are kept open as long as a container may live.
        say: hears of what takes time or went wrong on the side.
    """

    def __init__(
        self, engine: Engine, network: str, folder: Path, pass_fds: Sequence[int], say: Callable[[str], None]
    ) -> None:
        self.versions: Mapping[str, str] = {"docker": engine.version}
        self._engine = engine
        self._network = network
        self._folder = folder.absolute()
        self._pass_fds = pass_fds
        self._say = say
        self._label = f"{RUN_LABEL}={self._folder}"
        self._opening = threading.Lock()
        self._reaper: subprocess.Popen | None = None
        self._hurried = threading.Event()

    def run(
        self,
        launch: Launch,
        canceled: Callable[[], bool],
        timeout_seconds: float | None,
        started: Callable[[], object],
    ) -> Ended:
        self._open()
        if not self._engine.pull(launch.image, self._say, canceled):
            return Ended(None, CANCELED)
        targets = sandbox.write_folders(launch)
        user = sandbox.user_of(
            (os.geteuid(), os.getegid()), self._engine.image_user(launch.image), _owners(targets), self._engine.rootless
        )
        _hand_over(launch.outputs, targets, user)
        limits = resources.limits_of(launch.resources, self._engine.cpus)
        arguments = arguments_of(
            launch,
            sandbox.binds(launch),
            limits,
            user,
            self._network,
            {RUN_LABEL: str(self._folder), TASK_LABEL: launch.task},
            f"{self._folder.name}-{_UNFIT_IN_NAMES.sub('-', launch.task)}-{launch.number}",
            self._engine.remapped,
        )
        ended = self._engine.run(arguments, launch.log, canceled, self._hurried.is_set, timeout_seconds, started)
        return replace(ended, cause=limits.exceeded(launch.task)) if ended.out_of_memory and limits.memory else ended

    def kill_all(self) -> None:
        self._hurried.set()

    def close(self) -> None:
        with self._opening:
            if not self._reaper:
                return
            try:
                self._engine.remove_all(self._label)
            except PipeyardError as error:
                self._say(f"{error} Remove them by that label.")
            reaper.dismiss(self._reaper)
            self._reaper = None

    def _open(self) -> None:
        """Once: removes what an earlier try of this run may have left, and makes sure that this one leaves nothing."""
        with self._opening:
            if not self._reaper:
                self._engine.remove_all(self._label)
                self._reaper = reaper.start("containers", self._label, self._pass_fds)


def image_hosts(
    project: Project, images: Mapping[str, str], engine: Engine, say: Callable[[str], None]
) -> Callable[[str], Host]:
    """Returns what tells of an image, be it a component's of the project or any other.

    An image stands for its content: by its digest, or else by what the engine has, or pulls, under its name.

    Args:
        images: component to its image.
    """
    components = {image: name for name, image in images.items()}
    known: dict[str, Host] = {}
    lock = threading.Lock()

    def digest_of(image: str) -> str:
        digest = image.rpartition("@")[2] if "@" in image else ""
        if not digest:
            engine.pull(image, say)
            digest = engine.image_id(image)
        return digest

    def host(image: str) -> Host:
        with lock:
            if image not in known:
                name = components.get(image, "")
                fields = declarations(project.components[name]) if name else {}
                made = Host(name or last_segment(image), digest_of(image), {}, **fields)
                known[image] = replace(made, of_container=functools.partial(_with_home, made))
        return known[image]

    return host


def _with_home(host: Host, container: Mapping[str, Any]) -> Host:
    """Returns the host of a container, with a place for the packages that a function's command installs for its user.

    The image's own place for them can't be written to.
    """
    return replace(host, env={**host.env, "HOME": sandbox.TMP}) if lightweight.is_function(container) else host


def arguments_of(
    launch: Launch,
    binds: Iterable[Bind],
    limits: ResourceLimits,
    user: User,
    network: str,
    labels: Mapping[str, str],
    name: str,
    remapped: bool = False,
) -> dict[str, Any]:
    """Returns the arguments of `docker.models.containers.ContainerCollection.create` for an attempt.

    As in a pod of Kubernetes, the command takes the place of the image's ENTRYPOINT and CMD. As in a pod under the
    "restricted" security standard it has no capabilities and gets none, and its root file system is read-only.

    Args:
        remapped: the engine maps users to others; this container's must not be.
    """
    from docker.types import LogConfig, Mount

    arguments: dict[str, Any] = {
        "image": launch.image,
        "entrypoint": list(launch.command[:1]),
        "command": list(launch.command[1:]),
        "name": name,
        "labels": dict(labels),
        "environment": dict(launch.env),
        "user": user.name,
        "read_only": True,
        "tmpfs": {sandbox.TMP: "mode=1777,exec"},
        "mounts": [Mount(bind.path, bind.path, type="bind", read_only=not bind.writable) for bind in binds],
        "cap_drop": ["ALL"],
        # Under SELinux the container reads the user's files as they are labelled; they aren't labelled anew.
        "security_opt": ["no-new-privileges", "label=disable"],
        # Logs are read back from the engine, whatever it does with others'.
        "log_config": LogConfig(type=LogConfig.types.JSON),
        "use_config_proxy": True,
    }
    if limits.memory:
        arguments |= {"mem_limit": limits.memory, "memswap_limit": limits.memory}
    if limits.cpus:
        arguments["nano_cpus"] = int(limits.cpus * 1e9)
    if network:
        arguments["network_mode"] = network
    if remapped:
        arguments["userns_mode"] = "host"
    return arguments


def _owners(folders: Iterable[Path]) -> list[tuple[int, int]]:
    found = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            status = folder.stat()
            found.append((status.st_uid, status.st_gid))
    return found


def _hand_over(outputs: Path, targets: Iterable[Path], user: User) -> None:
    """Makes the folders that a step writes in, and has them and the outputs of earlier attempts belong to its user."""
    for folder in targets:
        if not folder.exists():
            folder.mkdir(parents=True)
            _give(folder, user)
    for path in [outputs, *outputs.rglob("*")]:
        _give(path, user)


def _give(path: Path, user: User) -> None:
    if os.geteuid() == 0 and path.lstat().st_uid != user.uid:
        os.chown(path, user.uid, -1, follow_symlinks=False)
