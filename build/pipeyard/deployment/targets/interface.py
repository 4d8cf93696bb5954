"""What a target does: `Runs` on every one, `Deployments` on servers as well."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipeyard.deployment.planner import Discrepancy

if TYPE_CHECKING:
    from pipeyard.deployment.desired import Desired
    from pipeyard.deployment.records import Record
    from pipeyard.packages.packages import Package
    from pipeyard.repository.project import Project
    from pipeyard.servers.outcome import RunOutcome
    from pipeyard.settings import Environment

# Seconds between two looks at a run, at most.
INTERVAL = 5.0


@dataclass(frozen=True)
class Started:
    """A run.

    Attributes:
        page: its address for people.
        parameters: with which it was started.
    """

    run_id: str
    page: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Finished:
    """A run that succeeded."""

    run: str
    ended_at: datetime


class Runs(Protocol):
    """Runs of an environment's pipelines."""

    @classmethod
    def of(cls, environment: "Environment", project: "Project | None") -> Self:
        """Returns those of an environment. Nothing is contacted.

        Args:
            project: whose pipelines run, where that is what is checked out; servers run what is deployed.
        """

    def start(
        self, pipeline: str, parameters: Mapping[str, Any] | None = None, key: str = "", caching: bool | None = None
    ) -> Started:
        """Starts a run of a pipeline; this machine also brings it to its end.

        Args:
            pipeline: name of its folder.
            parameters: over those that are set or deployed; text is read as the pipeline declares it.
            key: lower case letters, digits and dashes. Started again with the same key, it is the same run.
                Empty: a new one.
            caching: False: overrides the pipeline, no step uses the cache; None: as the pipeline says.

        Raises:
            PipeyardError: there is no such pipeline there, a parameter doesn't fit, or a server refuses or can't be
                reached.
        """

    def wait(self, run: str, timeout: float, tell: Callable[[str], object]) -> "RunOutcome":
        """Returns how a run ended.

        Args:
            timeout: seconds.
            tell: takes states that are new.

        Raises:
            PipeyardError: it hasn't ended in time, or the server is gone for too long. The run goes on.
        """

    def latest(self, pipeline: str) -> Finished | None:
        """Returns the newest run of a pipeline that succeeded; None if there is none.

        Raises:
            PipeyardError: the server can't be reached.
        """


class Deployments(Protocol):
    """What an environment on a server has in force."""

    @classmethod
    def check(cls, environment: "Environment", chosen: Collection[str]) -> None:
        """Refuses what the server would, of what pipelines are called and when they run. Nothing is contacted.

        Args:
            chosen: names of pipelines.

        Raises:
            PipeyardError: a name doesn't fit, or the server has no such schedule.
        """

    @classmethod
    def check_package(cls, environment: "Environment", package: "Package") -> None:
        """Refuses a package that the server can't run as the environment has it. Nothing is contacted.

        Raises:
            PipeyardError: says what it can't.
        """

    def missing(self, desired: "Desired", record: "Record | None") -> tuple[Discrepancy, ...]:
        """Returns what `apply` would change. Only reads."""

    def warnings(self, desired: "Desired") -> list[str]:
        """Returns what the server's version can't do of the pipeline, in words. Only reads."""

    def apply(self, desired: "Desired", record: "Record | None") -> tuple[Mapping[str, str], list[str]]:
        """Applies the pipeline and its schedule; idempotent.

        Returns:
            Ids for the record, and what was done, in words.
        """


def schedule_name(pipeline: str, environment: str) -> str:
    """Returns what a pipeline's schedule is called on a server that several environments may share."""
    return f"{pipeline} ({environment})"
