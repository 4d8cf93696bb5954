"""What serves the pushed versions, behind one interface: `rollout.target.Staging`, and what deploy asks of it.

A target is a class here (or, as it grows, in a module of its own) with a line in `TARGETS`; KServe and Vertex AI belong
there, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from deploy import states, tfserving
from rollout import desired
from rollout.desired import Desired
from rollout.policy import CANARY, DIRECT, SHADOW, Policy
from rollout.target import Staging

LOCAL = "local"
TFSERVING = tfserving.NAME


@dataclass(frozen=True)
class Rules:
    """How a version is to be rolled out.

    Attributes:
        registry_uri: of the registry whose aliases follow the rollout.
        run_id: the run that stages the version; empty: not known.
        now: seconds since the epoch.
    """

    strategy: str
    policy: Policy
    registry_uri: str
    run_id: str
    now: Callable[[], float]


class DeployTarget(Staging, Protocol):
    """What a deployment needs of a target."""

    def is_begun(self) -> bool:
        """True if a version is served already."""

    def planned(self, version: int) -> str:
        """Returns what a version will be once it is staged: `stable`, `candidate` or `other`; changes nothing."""

    def role(self, version: int) -> str:
        """Returns what a version is now."""


@dataclass(frozen=True)
class DesiredTarget:
    """A target that follows the desired state: this only writes it, and tells the target of it.

    Attributes:
        name: the target's.
        publish: tells it, after each change and again if nothing has changed.
    """

    name: str
    state: states.State
    rules: Rules
    publish: Callable[[], None] = field(default=lambda: None)

    def is_begun(self) -> bool:
        """See `DeployTarget`."""
        return self.state.read() is not None

    def planned(self, version: int) -> str:
        """See `DeployTarget`."""
        return desired.role(self._staged(self.state.read(), version), version)

    def role(self, version: int) -> str:
        """See `DeployTarget`."""
        return desired.role(self.state.read(), version)

    def stage(self, version: int) -> None:
        """See `Staging`."""
        self.state.update(lambda current: self._staged(current, version))
        self.publish()

    def shift(self, version: int, weight: int) -> None:
        """See `Staging`."""
        self._update(version, lambda current: desired.shift(current, version, weight))

    def promote(self, version: int, reasons: Sequence[str]) -> None:
        """See `Staging`."""
        self._update(version, lambda current: desired.promote(current, version, reasons, self.rules.now()))

    def roll_back(self, version: int, reasons: Sequence[str]) -> None:
        """See `Staging`."""
        self._update(version, lambda current: desired.roll_back(current, version, reasons, self.rules.now()))

    def _update(self, version: int, change: Callable[[Desired], Desired]) -> None:
        self.state.update(lambda current: change(desired.staged(current, version)))
        self.publish()

    def _staged(self, current: Desired | None, version: int) -> Desired:
        rules = self.rules
        return desired.stage(
            current,
            version,
            strategy=rules.strategy,
            policy=rules.policy,
            registry_uri=rules.registry_uri,
            now=rules.now(),
            run_id=rules.run_id,
            target=self.name,
        )


def _local(serving_uri: str, model_name: str, rules: Rules) -> DeployTarget:
    """`pipeyard serve`, or whatever else follows `rollout.json`."""
    return DesiredTarget(LOCAL, states.open_state(serving_uri, model_name), rules)


def _tfserving(serving_uri: str, model_name: str, rules: Rules) -> DeployTarget:
    """TensorFlow Serving, which reads `models.config` again and again."""
    state = states.open_state(serving_uri, model_name)
    return DesiredTarget(TFSERVING, state, rules, lambda: tfserving.publish(serving_uri))


@dataclass(frozen=True)
class Kind:
    """A kind of target.

    Attributes:
        strategies: those that it can follow.
        instead: what to do for the others.
    """

    open: Callable[[str, str, Rules], DeployTarget]
    strategies: tuple[str, ...]
    instead: str = ""


TARGETS: Mapping[str, Kind] = {
    LOCAL: Kind(_local, (DIRECT, CANARY, SHADOW)),
    TFSERVING: Kind(_tfserving, (DIRECT, CANARY), "TF Serving copies no requests; use canary, or the target local"),
}


def open_target(name: str, serving_uri: str, model_name: str, rules: Rules) -> DeployTarget:
    """Returns a target for one model; `parameters.check` has looked at its name."""
    return TARGETS[name].open(serving_uri, model_name, rules)


def publish(current: Desired, serving_uri: str) -> None:
    """Tells what serves a model of a state that was changed elsewhere, e.g. by the supervisor."""
    if current.target == TFSERVING:
        tfserving.publish(serving_uri)
