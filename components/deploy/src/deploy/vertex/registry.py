"""Vertex AI's Model Registry: a version of a model is uploaded once, and has the aliases of its standing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.vertex import resources
from deploy.vertex.client import Client
from deploy.vertex.resources import Json
from rollout.desired import Desired

_GIVEN = ("champion", "challenger")


@dataclass(frozen=True)
class ModelRegistry:
    """One model of it.

    Attributes:
        identity: of the model there.
        model_name: as it is registered elsewhere.
        uri: of a version's folder.
    """

    client: Client
    identity: str
    model_name: str
    uri: Callable[[int], str]

    @property
    def name(self) -> str:
        """The model's resource name."""
        return f"{self.client.place.parent}/models/{self.identity}"

    def upload(self, version: int) -> None:
        """Uploads a version, if it isn't there.

        Raises:
            OperationFailed: it failed.
            google.api_core.exceptions.GoogleAPICallError, requests.RequestException: as `Client.call`.
        """
        self.client.wait_for_others(self.name)
        if self._find(version):
            return
        body: Json = {"model": resources.model(self.model_name, version, self.uri(version), self.client.place)}
        if self.client.find(self.name):
            body |= {"parentModel": self.name}
        else:
            body |= {"modelId": self.identity}
        self.client.operate("POST", f"{self.client.place.parent}/models:upload", body)

    def align(self, state: Desired) -> None:
        """Gives the versions of a state their aliases, and takes those that they have no more. Raises as `upload`."""
        for version, wanted in resources.aliases(state).items():
            found = self._find(version)
            if found is None:
                continue
            given = [each for each in found.get("versionAliases", ()) if each in _GIVEN]
            changes = _changes(given, wanted)
            if changes:
                name = f"{self.name}@{resources.version_alias(version)}"
                self.client.call("POST", f"{name}:mergeVersionAliases", {"versionAliases": changes})

    def _find(self, version: int) -> Json | None:
        return self.client.find(f"{self.name}@{resources.version_alias(version)}")


def _changes(given: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Returns aliases to merge; one that is to go has a `-` before it."""
    return [each for each in wanted if each not in given] + [f"-{each}" for each in given if each not in wanted]
