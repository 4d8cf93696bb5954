"""Where pipelines are deployed and run. Each target does the same four things in its own way."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pipeyard.deployment.planner import Discrepancy

if TYPE_CHECKING:
    from pipeyard.deployment.desired import Desired
    from pipeyard.deployment.records import Record
    from pipeyard.packages.packages import Package
    from pipeyard.servers.outcome import RunOutcome

# Seconds between two looks at a run, at most.
INTERVAL = 5.0


class Target(Protocol):
    """A server."""

    def missing(self, desired: "Desired", record: "Record | None") -> tuple[Discrepancy, ...]:
        """Returns what `apply` would change. Only reads."""

    def warnings(self, desired: "Desired") -> list[str]:
        """Returns what the server's version can't do of the pipeline, in words. Only reads."""

    def apply(self, desired: "Desired", record: "Record | None") -> tuple[Mapping[str, str], list[str]]:
        """Applies the pipeline and its schedule; idempotent.

        Returns:
            Ids for the record, and what was done, in words.
        """

    def start(
        self,
        record: "Record",
        package: "Package",
        parameters: Mapping[str, Any],
        key: str,
        caching: bool | None,
    ) -> tuple[str, str]:
        """Starts a run of what is deployed.

        Args:
            key: if there is a run of this key already, it is what is returned; empty: a new run.
            caching: None: as the pipeline says.

        Returns:
            The run's id, and the address of its page.
        """

    def wait(self, run: str, timeout: float, tell: Callable[[str], object]) -> "RunOutcome":
        """Returns how a run ended; see `kubeflow.runs.wait`."""


def schedule_name(pipeline: str, environment: str) -> str:
    """Returns what a pipeline's schedule is called on a server that several environments may share."""
    return f"{pipeline} ({environment})"
