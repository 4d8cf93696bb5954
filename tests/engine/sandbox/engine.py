"""Docker's engine as a process of its own: state, socket and network apart from any other on the machine."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
from docker.errors import DockerException

from . import programs


class Engine:
    """A dockerd with BuildKit, whose state is below one folder.

    It makes no networks: builds and containers use the machine's (`--network=host`).

    Args:
        folder: short, as the path of a Unix socket has at most 107 bytes.

    Raises:
        programs.NotAvailableError: the machine can't run one.
    """

    def __init__(self, folder: Path) -> None:
        programs.need_root()
        self._program = programs.find("dockerd")
        self._folder = folder
        self._socket = folder / "socket"
        self._config = folder / "daemon.json"
        self._config.write_text(
            json.dumps(
                {
                    "data-root": str(folder / "data"),
                    "exec-root": str(folder / "exec"),
                    "pidfile": str(folder / "pid"),
                    "hosts": [f"unix://{self._socket}"],
                    "storage-driver": "overlay2",
                    "bridge": "none",
                    "iptables": False,
                    "ip-forward": False,
                    "ip-masq": False,
                }
            ),
            encoding="utf-8",
        )
        self.start()

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment variables with which Docker's clients, `pipeyard build` among them, use this engine."""
        return {**os.environ, "DOCKER_HOST": f"unix://{self._socket}", "DOCKER_CONFIG": str(self._folder / "config")}

    @property
    def client(self) -> docker.DockerClient:
        """A client of the engine's API."""
        return docker.DockerClient(base_url=f"unix://{self._socket}", timeout=600)

    def docker(self, *arguments: str | Path) -> str:
        """Runs Docker's client; returns what it prints.

        Raises:
            RuntimeError: it fails.
        """
        return programs.run([programs.find("docker"), *arguments], env=dict(self.variables))

    def start(self) -> None:
        """Starts it, also again after `stop` or `kill`, on the state that it left.

        Raises:
            RuntimeError: it doesn't start.
        """
        (self._folder / "pid").unlink(missing_ok=True)
        self._process = programs.Background(
            [self._program, "--config-file", str(self._config)], self._folder / "log", self._answers
        )

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()
        programs.unmount_below(self._folder)

    def kill(self) -> None:
        """Kills it with all that runs in it, without warning."""
        self._process.kill()
        programs.unmount_below(self._folder / "exec")

    def _answers(self) -> bool:
        try:
            with contextlib.closing(self.client) as client:
                return client.ping()
        except DockerException:
            return False


@contextlib.contextmanager
def running(disk_bytes: int = 0) -> Iterator[Engine]:
    """Runs an engine, and removes all that it had.

    Args:
        disk_bytes: size of the file system in memory that its state is on; 0: a disk of its own, as `state_folder`.
    """
    with state_folder(disk_bytes) as folder:
        engine = Engine(folder)
        try:
            yield engine
        finally:
            engine.stop()


@contextlib.contextmanager
def state_folder(disk_bytes: int = 0) -> Iterator[Path]:
    """Gives a folder for a server's state, which is removed; in memory and of a limited size if one is given.

    Else it is a file system in a file, where the machine can mount one: images are hundreds of thousands of files,
    which took minutes to remove one by one, and whose writing made every other test wait for the same disk.
    """
    programs.need_root()
    folder = Path(tempfile.mkdtemp(prefix="pipeyard-"))
    disk = folder.with_suffix(".disk")
    try:
        if disk_bytes:
            resize(folder, disk_bytes, new=True)
        else:
            _mount_file(folder, disk)
        yield folder
    finally:
        programs.unmount_below(folder)
        disk.unlink(missing_ok=True)
        # Of many files, where none could be mounted: Python's own takes minutes of a core.
        programs.run(["rm", "-rf", "--one-file-system", folder])


def _mount_file(folder: Path, disk: Path) -> None:
    """Mounts a file as the folder's file system; leaves the folder as it is where the machine has no loop devices."""
    with disk.open("wb") as stream:
        stream.truncate(shutil.disk_usage(folder).free)  # takes room only as it is written
    try:
        # What it holds needn't outlive a crash: no journal, nobody waits for the disk.
        programs.run([programs.find("mkfs.ext4"), "-q", "-O", "^has_journal", "-E", "nodiscard", str(disk)])
        programs.run([programs.find("mount"), "-o", "loop,noatime,nobarrier", str(disk), str(folder)])
    except (RuntimeError, programs.NotAvailableError):
        disk.unlink()


def resize(folder: Path, disk_bytes: int, new: bool = False) -> None:
    """Gives a folder a file system in memory of that size, or with `new` False another size to the one it has."""
    options = f"size={disk_bytes}" + ("" if new else ",remount")
    programs.run([programs.find("mount"), "-t", "tmpfs", "-o", options, "tmpfs", str(folder)])
