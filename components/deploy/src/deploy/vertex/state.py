"""A model's desired state, kept in its endpoint: as JSON in the description, and, for people, in labels.

Both are changed in one request, which Vertex AI refuses when the endpoint isn't any more what was read (`etag`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy.vertex import resources
from deploy.vertex.client import Client
from deploy.vertex.resources import Json
from rollout import desired
from rollout.desired import Desired
from rollout.errors import Overtaken, RolloutError
from stepkit.errors import StepError

_LONGEST_REASON = 150  # characters, of which a few fit into a description


@dataclass(frozen=True)
class EndpointState:
    """See `states.State`.

    Attributes:
        identity: of the endpoint.
        model_name: as it is registered.
    """

    client: Client
    identity: str
    model_name: str

    @property
    def name(self) -> str:
        """The endpoint's resource name."""
        return f"{self.client.place.parent}/endpoints/{self.identity}"

    def read(self) -> Desired | None:
        """See `states.State`."""
        return self._read(self.client.again("reading the endpoint", self.find))

    def update(self, change: Callable[[Desired | None], Desired]) -> Desired:
        """See `states.State`."""
        return self.client.again("writing what is desired", lambda: self._update(change))

    def remembered(self) -> str:
        """See `rollout.target.Target`."""
        return str(self._content(self.client.again("reading the endpoint", self.find)).get("remembered", ""))

    def remember(self, text: str) -> None:
        """See `rollout.target.Target`."""
        self.client.again("writing how far the rollout is", lambda: self._remember(text))

    def find(self) -> Json | None:
        """Returns the endpoint; None if there is none yet. Raises as `Client.call`, and StepError.

        Raises:
            StepError: it is another model's.
        """
        found = self.client.find(self.name)
        if found and found["displayName"] != self.model_name:
            raise StepError(
                f"The endpoint {self.identity!r} in Vertex AI is {found['displayName']!r}'s, and not "
                f"{self.model_name!r}'s. Give the model another name, or delete the endpoint."
            )
        return found

    def desired(self, endpoint: Json | None) -> Desired | None:
        """Returns the desired state that an endpoint has.

        Raises:
            StepError: it has none that can be read.
        """
        return self._read(endpoint)

    def _read(self, endpoint: Json | None) -> Desired | None:
        if endpoint is None:
            return None
        where = f"The description of the endpoint {self.identity!r} in Vertex AI"
        content = self._content(endpoint)
        if "rollout" not in content:
            raise StepError(
                f"{where} has no state of a rollout: deploy didn't make it, or somebody changed it. Delete the "
                "endpoint, or write there what the model registry knows."
            )
        try:
            return desired.from_text(json.dumps(content["rollout"]), where)
        except RolloutError as error:
            raise StepError(str(error)) from error

    def _content(self, endpoint: Json | None) -> dict[str, Any]:
        try:
            found = json.loads((endpoint or {}).get("description", "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _update(self, change: Callable[[Desired | None], Desired]) -> Desired:
        if (endpoint := self.find()) is None:
            self.client.wait_for_others(self.name)  # a deployment that was killed may be making it
            endpoint = self.find()
        current = self._read(endpoint)
        try:
            new = change(current)
        except Overtaken:
            raise
        except RolloutError as error:
            raise StepError(str(error)) from error
        if endpoint is None:
            body = {"displayName": self.model_name, **_described(new, "")}
            parent = f"{self.client.place.parent}/endpoints"
            self.client.operate("POST", parent, body, {"endpointId": self.identity})
        elif new != current:
            remembered = str(self._content(endpoint).get("remembered", ""))
            self._patch(endpoint, _described(new, remembered))
        return new

    def _remember(self, text: str) -> None:
        endpoint = self.find()
        current = self._read(endpoint)
        if endpoint is None or current is None:
            raise StepError(f"There is no endpoint {self.identity!r} in Vertex AI. Deploy the model first.")
        self._patch(endpoint, {"description": _described(current, text)["description"]})

    def _patch(self, endpoint: Json, changed: Json) -> None:
        patch(self.client, endpoint, changed)


def patch(client: Client, endpoint: Json, changed: Json) -> None:
    """Changes fields of an endpoint, if nobody else did since it was read. Raises as `Client.call`."""
    mask = {"description": "description", "labels": "labels", "trafficSplit": "traffic_split"}
    query = {"updateMask": ",".join(mask[key] for key in changed)}
    client.call("PATCH", endpoint["name"], {"name": endpoint["name"], "etag": endpoint["etag"], **changed}, query)


def _described(state: Desired, remembered: str) -> Json:
    value = json.loads(state.to_text())
    if value["decided"]:
        value["decided"]["reasons"] = [each[:_LONGEST_REASON] for each in value["decided"]["reasons"]]
    text = json.dumps({"rollout": value, "remembered": remembered}, separators=(",", ":"))
    return {"description": text, "labels": dict(resources.labels(state))}
