"""What each target takes of an environment's settings; what it does is `deployment.targets`'."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import PydanticKnownError

from pipeyard.settings import times
from pipeyard.settings.problems import Unfit

if TYPE_CHECKING:
    from pipeyard.settings.model import Environment

# Key in an environment, what is wrong, the fix, and whether the value itself may be shown.
TargetProblem = tuple[tuple[str | int, ...], str, str, bool]
# `target:` to its model, in the order of their definition.
TARGETS: dict[str, type["Target"]] = {}


class Target:
    """A target's settings. Whoever defines a subclass with a `name` has defined a target of that name.

    Attributes:
        name: as `target:` has it.
        on_server: pipelines are deployed there; false: what is checked out runs.
        needs: keys of an environment that have to be set.
    """

    name: ClassVar[str]
    on_server: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        TARGETS[cls.name] = cls

    @classmethod
    def check(cls, environment: "Environment") -> None:
        """Raises Unfit if the environment lacks what the target needs."""
        missing = [name for name in cls.needs if not getattr(environment, name)]
        if missing:
            fix = "Set it." if len(missing) == 1 else "Set them."
            raise Unfit(f"target {cls.name} needs {' and '.join(missing)}", fix)

    @classmethod
    def problems(cls, environment: "Environment") -> Iterator[TargetProblem]:
        """Yields what pipelines' settings ask for and the target doesn't do."""
        for pipeline, each in environment.pipelines.items() if cls.on_server else ():
            for index, trigger in enumerate(each.triggers):
                if trigger.lacks_baseline:
                    yield (
                        ("pipelines", pipeline, "triggers", index),
                        f"there is nothing to compare with: {cls.name} doesn't tell where a run's artifacts are",
                        "Set baseline: the served model's folder, which is the pipeline's serving_uri/model_name.",
                        True,
                    )

    @classmethod
    def location(cls, environment: "Environment") -> str:  # pylint: disable=unused-argument
        """Returns Google Cloud's location, projects/PROJECT/locations/REGION; '': it is in none."""
        return ""


class Local(Target):
    """This machine."""

    name = "local"
    on_server = False


class Kubeflow(Target):
    """Kubeflow Pipelines."""

    name = "kfp"
    needs = ("host", "bucket")

    @classmethod
    def problems(cls, environment: "Environment") -> Iterator[TargetProblem]:
        for pipeline, each in environment.pipelines.items():
            if each.schedule and each.schedule.timezone not in times.UTC_ZONES:
                yield (
                    ("pipelines", pipeline, "schedule", "timezone"),
                    "Kubeflow Pipelines' schedules have no time zone",
                    "Write cron in UTC, and leave timezone out.",
                    True,
                )
        yield from super().problems(environment)


class VertexAI(Target):
    """Vertex AI Pipelines."""

    name = "vertex"
    needs = ("project", "region", "bucket")

    @classmethod
    def check(cls, environment: "Environment") -> None:
        super().check(environment)
        if not environment.pipeline_root.startswith("gs://"):
            raise Unfit("target vertex needs a pipeline_root in Cloud Storage", "Write gs://BUCKET/PREFIX.")

    @classmethod
    def location(cls, environment: "Environment") -> str:
        return f"projects/{environment.project}/locations/{environment.region}"


def known(name: Any) -> Any:
    """Returns the name of a target; raises pydantic's error of a literal for what is none."""
    if isinstance(name, str) and name in TARGETS:
        return name
    *others, last = map(repr, TARGETS)
    raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})
