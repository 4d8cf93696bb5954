"""The serving target `vertex`: an endpoint of Vertex AI for each model, which splits the traffic by itself.

What is desired is written first (see `EndpointState`); then one request after another brings the endpoint in line,
each chosen anew by what is there. So it doesn't matter where an earlier deployment was killed, or whether a request
that wasn't answered was done.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy import followed_policy, serving
from deploy.desired_target import FollowedTarget, Given, Rules
from deploy.vertex import monitoring, resources
from deploy.vertex.client import Client, OperationFailed
from deploy.vertex.place import Place, resource_id
from deploy.vertex.registry import ModelRegistry
from deploy.vertex.resources import Deploy, Shift
from deploy.vertex.state import EndpointState, patch
from rollout.desired import CANDIDATE, Desired
from rollout.errors import Overtaken
from rollout.loop import Rhythm
from rollout.observations import Window
from rollout.policy import DIRECT
from stepkit.errors import StepError, UsageError

NAME = "vertex"

# Samples that a shift falls into are left out: the one it is in, and one that began before it was in force everywhere.
_SKIPPED = monitoring.SAMPLE
RHYTHM = Rhythm(every=monitoring.SAMPLE, lag=monitoring.SAMPLE + _SKIPPED + monitoring.VISIBLE)


def check(given: Given) -> None:
    """Checks what can be known before there is a model; contacts nothing.

    Raises:
        UsageError: the options aren't a place, Vertex AI can't take the model's name or read the serving URI, or the
            policy can't be kept there.
    """
    Place.from_json(given.options)
    if given.model_name is not None:
        resource_id(given.model_name)
    if given.serving_uri is not None and not given.serving_uri.startswith("gs://"):
        raise UsageError(
            f"--serving-uri {given.serving_uri!r} can't be read by Vertex AI. Give one in Cloud Storage, gs://..., in "
            "the region's project"
        )
    followed_policy.check(given, NAME, RHYTHM, tells_scores=False)


class DeploymentFailed(StepError):
    """A version can't be deployed; it is its own fault."""


@dataclass(frozen=True)
class Reconciler:
    """Brings an endpoint, and the model's aliases in the Model Registry, in line with what is desired."""

    state: EndpointState
    models: ModelRegistry

    @property
    def _client(self) -> Client:
        return self.state.client

    def publish(self) -> None:
        """Returns when everything is in force.

        Raises:
            DeploymentFailed: a version can't be. What serves goes on as it was.
            StepError: it is refused, or fails for too long.
        """
        while self._client.again("bringing the endpoint in line", self._advance):
            pass

    def _advance(self) -> bool:
        """Does what is next; False if nothing is left to do."""
        self._client.wait_for_others(self.state.name)
        endpoint = self.state.find()
        desired = self.state.desired(endpoint)
        if endpoint is None or desired is None:
            return False
        request = resources.next_request(desired, endpoint)
        if request is None:
            self.models.align(desired)
            return False
        if isinstance(request, Deploy):
            self._deploy(request)
        elif isinstance(request, Shift):
            patch(self._client, endpoint, {"trafficSplit": dict(request.split)})
        else:
            self._client.operate("POST", f"{self.state.name}:undeployModel", {"deployedModelId": request.identity})
        return True

    def _deploy(self, request: Deploy) -> None:
        self.models.upload(request.version)
        deployed = resources.deployed_model(self.models.name, request.version, self._client.place)
        body = {"deployedModel": deployed, "trafficSplit": dict(request.split)}
        try:
            self._client.operate("POST", f"{self.state.name}:deployModel", body)
        except OperationFailed as error:
            if error.is_its_fault:
                raise DeploymentFailed(str(error)) from error
            raise


class VertexTarget(FollowedTarget):
    """See `FollowedTarget`."""

    def stage(self, version: int) -> None:
        """See `Staging`. A candidate that can't be deployed is rolled back."""
        try:
            super().stage(version)
        except DeploymentFailed as error:
            if self.role(version) != CANDIDATE:
                raise StepError(
                    f"Vertex AI couldn't deploy version {version}: {error}. What served before goes on. Look at the "
                    "endpoint's logs, mend the model, the image or serving_options, and deploy again."
                ) from error
            with contextlib.suppress(Overtaken):  # an operator has decided on it just now
                self.roll_back(version, [f"Vertex AI couldn't deploy it: {error}"])


def open_target(
    serving_uri: str, model_name: str, rules: Rules, sleep: Callable[[float], None] = time.sleep
) -> VertexTarget:
    """Returns the target of one model; nothing is asked of Vertex AI yet.

    Raises:
        UsageError: the options aren't a place, or the model's name can't be an endpoint's.
    """
    client = Client(Place.from_json(rules.options), rules.now, sleep)
    return with_client(client, serving.open_versions(serving_uri, model_name).uri, model_name, rules)


def with_client(client: Client, uri: Callable[[int], str], model_name: str, rules: Rules) -> VertexTarget:
    """Returns the target of one model.

    Args:
        uri: of a version's folder.
    """
    identity = resource_id(model_name)
    state = EndpointState(client, identity, model_name)
    models = ModelRegistry(client, identity, model_name, uri)

    def look(current: Desired, start: float, end: float) -> tuple[Window, Window]:
        """Looks at whole samples, later than asked for by one to two."""
        if current.candidate is None:
            raise StepError("There is no candidate to observe.")
        first = -(-start // monitoring.SAMPLE) * monitoring.SAMPLE + _SKIPPED
        versions = (current.stable, current.candidate)
        stable, candidate = monitoring.observe(client, identity, versions, first, first + (end - start))
        return stable, candidate

    def reach() -> None:
        state.read()
        if rules.strategy != DIRECT:
            now = rules.now()
            monitoring.observe(client, identity, (), now - monitoring.SAMPLE, now)

    return VertexTarget(
        name=NAME,
        state=state,
        rules=rules,
        publish=Reconciler(state, models).publish,
        memory=state,
        look=look,
        rhythm=RHYTHM,
        reach=reach,
    )
