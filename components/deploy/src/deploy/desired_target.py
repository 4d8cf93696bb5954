"""Targets of a desired state: this only changes the state, and brings what serves in line with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy import states
from rollout import desired
from rollout.desired import Desired
from rollout.loop import Rhythm
from rollout.observations import Window
from rollout.policy import Policy
from rollout.target import Staging


@dataclass(frozen=True)
class Rules:
    """How a version is to be rolled out.

    Attributes:
        registry_uri: of the registry whose aliases follow the rollout.
        run_id: the run that stages the version; empty: not known.
        now: seconds since the epoch.
        options: of the target, see `Given`.
    """

    strategy: str
    policy: Policy
    registry_uri: str
    run_id: str
    now: Callable[[], float]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What is known of a deployment before there is a model; with `--check` some comes later, and is None.

    Attributes:
        options: the parameter `serving_options`, as it was given.
        policy: `rollout_policy`, the same; a policy's values were looked at.
    """

    options: Mapping[str, Any]
    strategy: str
    serving_uri: str | None
    model_name: str | None
    policy: Mapping[str, Any] = field(default_factory=dict)


class DeployTarget(Staging, Protocol):
    """What a deployment needs of a target."""

    def read(self) -> Desired | None:
        """Returns what is desired; None if nothing was ever staged."""

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

    def read(self) -> Desired | None:
        """See `DeployTarget`."""
        return self.state.read()

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


class Memory(Protocol):
    """Where the loop's progress is kept: see `rollout.target.Target`."""

    def remembered(self) -> str:
        """Returns the text that was kept last; empty if none was."""

    def remember(self, text: str) -> None:
        """Keeps a text."""


@dataclass(frozen=True, kw_only=True)
class FollowedTarget(DesiredTarget):
    """A target that nobody watches: deploy itself follows a candidate there, a `rollout.target.Target`.

    Attributes:
        look: see `rollout.target.Target.observe`.
        rhythm: when it is looked.
        reach: fails with a StepError where the target, or what observes it, can't be reached; changes nothing.
    """

    memory: Memory
    look: Callable[[Desired, float, float], tuple[Window, Window]]
    rhythm: Rhythm
    reach: Callable[[], None]

    def remembered(self) -> str:
        """See `rollout.target.Target`."""
        return self.memory.remembered()

    def remember(self, text: str) -> None:
        """See `rollout.target.Target`."""
        self.memory.remember(text)

    def observe(self, state: Desired, start: float, end: float) -> tuple[Window, Window]:
        """See `rollout.target.Target`."""
        return self.look(state, start, end)
