"""The container engine: Docker, or what speaks its API. Its images, and one container from its start to its removal.

A container is kept until the engine has answered how it ended, and then removed. kfp.local's runner has the engine
remove it by itself and takes "not found" for success, so that a failed step may pass for a good one.
"""

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import parse_repository_tag

from pipeyard.errors import PipeyardError
from pipeyard.system.process import CANCELED, GRACE_SECONDS, Ended

_POLL_SECONDS = 0.1
_REQUEST_SECONDS = 120
# How long the engine may take to hand over the last of a log after the container's end.
_LOG_SECONDS = 20
# How long it may take to tell the end of a container that was killed.
_END_SECONDS = 60
_FAULTS = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class Engine:
    """An engine that answers. Safe to use from several threads.

    Attributes:
        version: as it says.
        cpus: how many cores it has.
        rootless: its root is the user that runs it.
        remapped: it maps users of containers to others of the host.
    """

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._pulling = threading.Lock()
        with self._faults("can't be asked about itself"):
            info = client.info()
        security = {option for each in info.get("SecurityOptions") or () for option in each.split(",")}
        self.version = str(info.get("ServerVersion", ""))
        self.cpus = int(info.get("NCPU") or 0)
        self.rootless = "name=rootless" in security
        self.remapped = "name=userns" in security

    def image_user(self, image: str) -> str:
        """Returns `USER` of an image that the engine has."""
        with self._faults(f"can't tell of the image {image}"):
            return self._client.images.get(image).attrs["Config"].get("User") or ""

    def image_id(self, image: str) -> str:
        """Returns the digest of the configuration of an image that the engine has; it stands for its content."""
        with self._faults(f"can't tell of the image {image}"):
            return str(self._client.images.get(image).id)

    def pull(self, image: str, say: Callable[[str], None], canceled: Callable[[], bool] = lambda: False) -> bool:
        """Pulls an image if the engine lacks it.

        Returns:
            False if it was canceled before that.

        Raises:
            PipeyardError: the registry doesn't give it.
        """
        with self._pulling, self._faults(f"can't pull {image}"):
            with contextlib.suppress(ImageNotFound):
                self._client.images.get(image)
                return True
            say(f"pulling {image}")
            repository, tag = parse_repository_tag(image)
            stream = self._client.api.pull(repository, tag=tag or "latest", stream=True, decode=True)
            with contextlib.closing(stream):
                for event in stream:
                    if "error" in event:
                        raise PipeyardError(
                            f"{image} can't be pulled: {event['error']}. Check its name and the network; "
                            "a private registry needs `docker login`."
                        )
                    if canceled():
                        return False
        return True

    def run(
        self,
        arguments: Mapping[str, Any],
        log: Path,
        canceled: Callable[[], bool],
        hurried: Callable[[], bool],
        timeout_seconds: float | None,
        started: Callable[[], object],
    ) -> Ended:
        """Runs a container to its end, and removes it.

        Args:
            arguments: of `docker.models.containers.ContainerCollection.create`.
            log: file that gets what it prints, as it does.
            canceled, timeout_seconds, started: see `launcher.Launcher.run`.
            hurried: once true, a container that is being stopped gets no time for it.

        Raises:
            PipeyardError: it can't be started, or the engine can't tell how it ended.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        name = arguments.get("name", "the container")
        with self._faults(f"can't run {name}"):
            container = self._client.containers.create(**arguments)
            try:
                container.start()
                started()
                copying = _Copying(container, log)
                stopped, answer = _wait(container, canceled, hurried, timeout_seconds)
                copying.finish()
                container.reload()
                return how_it_ended(answer, container.attrs.get("State", {}), stopped)
            finally:
                with contextlib.suppress(*_FAULTS):  # `remove_all` tries again, and tells
                    container.remove(force=True, v=True)

    def remove_all(self, label: str) -> int:
        """Removes all containers that have a label (`name=value`), running or not; returns how many there were.

        Raises:
            PipeyardError: the engine can't.
        """
        with self._faults(f"can't remove the containers labelled {label}"):
            found = self._client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
            for container in found:
                with contextlib.suppress(NotFound):
                    container.remove(force=True, v=True)
            return len(found)

    @contextlib.contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        try:
            yield
        except APIError as error:
            said = error.explanation or error
            raise PipeyardError(f"The container engine {what}: {said}") from error
        except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise PipeyardError(
                f"The container engine {what}: {error}. Is it still running ({self._client.api.base_url})?"
            ) from error


def connect() -> Engine:
    """Returns the engine that $DOCKER_HOST names, or Docker's context, or Docker's default socket.

    Raises:
        PipeyardError: it doesn't answer.
    """
    try:
        client = docker.from_env(timeout=_REQUEST_SECONDS)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise PipeyardError(
            f"No container engine answers: {error}. Start Docker, or name it in $DOCKER_HOST (podman: the socket of "
            "`podman system service`). Without one, use --runner host."
        ) from error
    return Engine(client)


def how_it_ended(answer: Mapping[str, Any], state: Mapping[str, Any], stopped: str = "") -> Ended:
    """Reads the end of a container.

    Args:
        answer: of the engine's `wait`.
        state: `State` of the container, then.
        stopped: why it was stopped, if it was.
    """
    code = int(answer["StatusCode"])
    if code == 0 or stopped:
        return Ended(code, stopped)
    if state.get("OOMKilled"):
        cause = f"out of memory (exit code {code}): it took more than its limit, or the machine's"
        return Ended(code, cause=cause, out_of_memory=True)
    said = (answer.get("Error") or {}).get("Message") or state.get("Error")
    if said:
        return Ended(code, cause=f"exit code {code} ({said})")
    with contextlib.suppress(ValueError):  # shells and engines tell of a signal so
        return Ended(code, cause=f"exit code {code} ({signal.Signals(code - 128).name})")
    return Ended(code)


class _Copying:
    """Copies what a container prints to a file while it runs."""

    def __init__(self, container: Any, log: Path) -> None:
        self._container = container
        self._log = log
        self._whole = False
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Makes the log whole, once the container has ended.

        Raises:
            OSError: it can't be written.
        """
        self._thread.join(_LOG_SECONDS)
        if self._whole:
            return
        aside = self._log.with_name(f".{self._log.name}.partial")
        with aside.open("wb") as stream:
            for chunk in self._container.logs(stream=True, follow=False):
                stream.write(chunk)
        aside.replace(self._log)

    def _follow(self) -> None:
        with contextlib.suppress(*_FAULTS), self._log.open("wb", buffering=0) as stream:
            for chunk in self._container.logs(stream=True, follow=True):
                stream.write(chunk)
            self._whole = True


def _wait(
    container: Any, canceled: Callable[[], bool], hurried: Callable[[], bool], timeout_seconds: float | None
) -> tuple[str, Mapping[str, Any]]:
    """Waits for a container to end, or ends it. Returns why it was ended, if so, and the engine's answer.

    Raises:
        PipeyardError: it was killed, and doesn't end.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(container.wait(timeout=None))
        except _FAULTS as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    deadline = time.monotonic() + timeout_seconds if timeout_seconds else None
    stopped = ""
    killed_at: float | None = None
    given_up_at: float | None = None
    while True:
        with contextlib.suppress(queue.Empty):
            answer = answers.get(timeout=_POLL_SECONDS)
            if isinstance(answer, Exception):
                raise answer
            return stopped, answer
        now = time.monotonic()
        if not stopped:
            if canceled():
                stopped = CANCELED
            elif deadline and now >= deadline:
                stopped = f"timed out after {timeout_seconds:g} s"
            if stopped:
                _signal(container, "SIGTERM")
                killed_at = now + GRACE_SECONDS
        elif killed_at and (now >= killed_at or hurried()):
            _signal(container, "SIGKILL")
            killed_at, given_up_at = None, now + _END_SECONDS
        elif given_up_at and now >= given_up_at:
            raise PipeyardError(
                f"{container.name} was killed ({stopped}), but the container engine doesn't end it. Look at the engine."
            )


def _signal(container: Any, name: str) -> None:
    with contextlib.suppress(APIError):  # it has ended meanwhile
        container.kill(signal=name)
