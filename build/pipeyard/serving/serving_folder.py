"""The folder of served models, and in it the supervisor's own."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError
from stepkit import served

_OWN = ".serve"
# As deploy's models may be called: what stands in URLs and in names of the router's clusters.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)


@dataclass(frozen=True, order=True)
class ServedVersion:
    """A version of a model."""

    model: str
    number: int

    def __str__(self) -> str:
        return f"{self.model}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> "ServedVersion":
        """Returns the version that `str` wrote."""
        model, _, number = text.rpartition("/")
        return cls(model, int(number))


@dataclass(frozen=True)
class ServingFolder:
    """The folder of served models at `path`: `NAME/N/saved_model.pb`, `NAME/rollout.json`, and `.serve/`."""

    path: Path

    @property
    def own(self) -> Path:
        """The supervisor's folder."""
        return self.path / _OWN

    @property
    def lock(self) -> Path:
        """Held by whoever serves the folder."""
        return self.own / "lock"

    @property
    def start(self) -> Path:
        """JSON: how it was started, see `start_options`."""
        return self.own / "start.json"

    @property
    def state(self) -> Path:
        """JSON: what is served, for `pipeyard serve status`."""
        return self.own / "state.json"

    @property
    def token(self) -> Path:
        """What the operators' page asks for."""
        return self.own / "token"

    @property
    def router(self) -> Path:
        """Folder of the files that the router watches."""
        return self.own / "router"

    @property
    def logs(self) -> Path:
        """Folder of logs, which stay when all is stopped."""
        return self.own / "logs"

    def model(self, name: str) -> Path:
        """Returns a model's folder, which has its desired state, too."""
        return self.path / name

    def looks(self, model: str) -> Path:
        """Returns the log of what a model's rollouts were decided by."""
        return self.logs / f"rollout-{model}.jsonl"

    def samples(self, model: str) -> Path:
        """Returns the folder of a model's sampled requests and answers: Parquet, which stays when all is stopped."""
        return self.own / "samples" / model

    def labels(self, model: str) -> Path:
        """Returns the folder of labels that came later, and what they were compared to; it stays, too."""
        return self.own / "labels" / model

    def reports(self, model: str, candidate: int) -> Path:
        """Returns where the report of a candidate's rollout is; it stays, too."""
        return self.own / "reports" / f"{model}-v{candidate}.html"

    def monitoring(self, model: str) -> Path:
        """Returns the folder of what samples were last compared to; it stays, too."""
        return self.own / "monitoring" / model

    def version(self, version: ServedVersion) -> Path:
        """Returns a version's folder."""
        return self.path / version.model / str(version.number)

    def models(self) -> list[str]:
        """Returns the models that have a version."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.path) if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name for name in names if _MODEL_NAME.fullmatch(name) and self.versions(name)]

    def versions(self, model: str) -> list[int]:
        """Returns a model's versions that are whole, the highest first."""
        try:
            names = [entry.name for entry in os.scandir(self.path / model)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        numbers = sorted((int(name) for name in names if served.is_number(name)), reverse=True)
        return [number for number in numbers if (self.path / model / str(number) / served.SAVED_MODEL).is_file()]


def find(given: Path | None, root: Callable[[], Path], environment: str) -> ServingFolder:
    """Returns the folder of pushed models that a command is about.

    Args:
        given: the folder itself; None: that of the environment.
        root: gives the project's folder, which only an environment needs.

    Raises:
        PipeyardError: settings.yaml has no such environment, or its folder isn't set or isn't one of this machine.
    """
    if given:
        return ServingFolder(given.resolve())
    from pipeyard import settings

    parameters = settings.load(root()).environment(environment).parameters
    return of_uri(str(parameters.get("serving_uri", "")), environment)


def of_uri(uri: str, environment: str) -> ServingFolder:
    """Returns the folder of an environment's `serving_uri`.

    Raises:
        PipeyardError: it isn't set, or isn't a folder of this machine.
    """
    if not uri:
        raise PipeyardError(f"{environment} sets no serving_uri for all pipelines. Set it there, or give --folder.")
    path = uri.removeprefix("file://")
    if "://" in path:
        raise PipeyardError(
            f"The models of {environment} are pushed to {uri}, which isn't on this machine: this command "
            "serves what is here. Choose an environment of this machine with --env, or give --folder."
        )
    return ServingFolder(Path(path).resolve())
