"""What is to be served, as it stands in the served folder."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeyard.serving.reconciling import WantedModel
from pipeyard.serving.serving_folder import ServingFolder
from rollout import desired
from rollout.errors import RolloutError
from rollout.policy import SHADOW

# What `Desired.target` says of models that are served here.
LOCAL = "local"


@dataclass(frozen=True)
class DesiredModel:
    """A model, with what is desired of it.

    Attributes:
        previous: the stable version before, if it is there still.
        problem: why the desired state can't be read; then it is the one that was read last, or the highest version.
    """

    name: str
    desired: desired.Desired
    problem: str = ""
    previous: int | None = None

    @property
    def wanted(self) -> WantedModel:
        """What the supervisor goes by."""
        state = self.desired
        mirrored = state.strategy == SHADOW
        return WantedModel(self.name, state.stable, state.candidate, state.weight, mirrored, self.previous)


class WantedReader:
    """Reads what is desired of all models, and remembers what was read last.

    Args:
        only: models that are served; none: all.
    """

    def __init__(self, folder: ServingFolder, only: Iterable[str] = ()) -> None:
        self._folder = folder
        self._only = set(only)
        self._last: dict[str, desired.Desired] = {}

    def read(self) -> list[DesiredModel]:
        """Returns the models that have a version, by name; without those that something else serves."""
        names = [name for name in self._folder.models() if not self._only or name in self._only]
        return [model for model in map(self._model, names) if model.desired.target == LOCAL]

    def _model(self, name: str) -> DesiredModel:
        try:
            found = desired.read(self._folder.path / name)
        except (RolloutError, OSError) as error:
            return DesiredModel(name, self._last.get(name) or highest(self._folder, name), str(error))
        if found:
            self._last[name] = found
        if found is None:
            return DesiredModel(name, highest(self._folder, name))
        there = found.previous != found.stable and found.previous in self._folder.versions(name)
        return DesiredModel(name, found, previous=found.previous if there else None)


def highest(folder: ServingFolder, model: str) -> desired.Desired:
    """Returns what is desired of a model about which nothing is written: its highest version, as TF Serving does."""
    return desired.Desired(folder.versions(model)[0], revision=0)
