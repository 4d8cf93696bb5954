"""What each kind of trigger is for; its settings are the model of the same `kind` in `settings`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from pipeyard.runs.stored_runs import same_pipeline
from pipeyard.triggers import events, remote_artifacts, sensors
from pipeyard.triggers.domain import Event, EventKind
from pipeyard.triggers.sensors import Looked

if TYPE_CHECKING:
    from pipeyard.settings import Environment
    from pipeyard.triggers.drift import Assessment


class TriggerKind(ABC):
    """A kind of trigger.

    Attributes:
        kind: of the events that it decides on.
    """

    kind: ClassVar[EventKind]

    def policy(self, trigger: Any) -> Mapping[str, Any]:  # pylint: disable=unused-argument
        """Returns what only triggers of this kind set of `domain.Policy`."""
        return {}

    def wants(self, trigger: Any, environment: "Environment", event: Event) -> bool:  # pylint: disable=unused-argument
        """Whether an event is for a trigger; that time passed is for all."""
        return False


class Sensor(TriggerKind):
    """A kind that nobody tells anything: it looks, as often as it is asked to."""

    @abstractmethod
    def look(
        self,
        trigger: Any,
        environment: "Environment",
        pipeline: str,
        environment_of: Callable[[str], "Environment"],
        now: datetime,
    ) -> Looked:
        """Looks whether what a trigger waits for has happened.

        Args:
            pipeline: that it starts.
            environment_of: gives an environment by name.

        Raises:
            PipeyardError: what it compares can't be read, or the server where runs are can't be reached.
        """


class Objects(TriggerKind):
    """New objects in a bucket."""

    kind = EventKind.OBJECT

    def policy(self, trigger: Any) -> Mapping[str, Any]:
        window = timedelta(seconds=trigger.quorum_window) if trigger.quorum > 1 else timedelta(0)
        return {"parameter": trigger.parameter, "quorum": trigger.quorum, "quorum_window": window}

    def wants(self, trigger: Any, environment: "Environment", event: Event) -> bool:
        name = event.attributes.get("name", "")
        return (
            event.kind in (EventKind.OBJECT, EventKind.REMOVAL)
            and trigger.bucket == event.attributes.get("bucket")
            and name.startswith(trigger.prefix)
            and name.endswith(trigger.suffix)
        )


class ComparingSensor(Sensor):
    """What is compared with what the last training run kept."""

    @abstractmethod
    def compare(self, trigger: Any, baseline: str, now: datetime) -> "Assessment":
        """Compares; `baseline` is the URI of what with, '' if the trigger needs none."""

    def look(
        self,
        trigger: Any,
        environment: "Environment",
        pipeline: str,
        environment_of: Callable[[str], "Environment"],
        now: datetime,
    ) -> Looked:
        baseline = ""
        if trigger.compares and trigger.baseline:
            baseline = remote_artifacts.of_served(trigger.baseline, self.kind)
        elif trigger.compares:
            baseline = sensors.last_training(environment, pipeline, self.kind)
        found = self.compare(trigger, baseline, now)
        reason = found.event.detail if found.event else f"all of {len(found.measured)} are within their bounds"
        return Looked(reason, found.event, found.measured, baseline)


class Drift(ComparingSensor):
    """New data that is unlike the last training's."""

    kind = EventKind.DRIFT

    def compare(self, trigger: Any, baseline: str, now: datetime) -> "Assessment":
        from pipeyard.triggers import drift

        return drift.drift(trigger, baseline, now)


class Quality(ComparingSensor):
    """A served model that got worse."""

    kind = EventKind.QUALITY

    def compare(self, trigger: Any, baseline: str, now: datetime) -> "Assessment":
        from pipeyard.triggers import drift

        return drift.quality(trigger, baseline, now)


class Completion(Sensor):
    """A run of another pipeline that succeeded."""

    kind = EventKind.COMPLETION

    def wants(self, trigger: Any, environment: "Environment", event: Event) -> bool:
        return (
            event.kind == EventKind.COMPLETION
            and same_pipeline(trigger.pipeline, event.attributes.get("pipeline", ""))
            and (trigger.environment or environment.name) == event.attributes.get("environment")
        )

    def look(
        self,
        trigger: Any,
        environment: "Environment",
        pipeline: str,
        environment_of: Callable[[str], "Environment"],
        now: datetime,
    ) -> Looked:
        from pipeyard.deployment.targets import choice

        other = environment_of(trigger.environment) if trigger.environment else environment
        found = choice.runs(other).latest(trigger.pipeline)
        if found is None:
            return Looked(f"no run of {trigger.pipeline} in {other.name} has succeeded")
        event = events.completion(trigger.pipeline, other.name, found.run, found.ended_at)
        return Looked(event.detail, event)


# `kind:` of settings.yaml to what it is.
KINDS: dict[str, TriggerKind] = {
    "event": Objects(),
    "drift": Drift(),
    "quality": Quality(),
    "completion": Completion(),
}
