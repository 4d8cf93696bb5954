"""What servers have in common: a run there is one of what is deployed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pipeyard.deployment import deployed_runs
from pipeyard.deployment.deployed_runs import Deployed
from pipeyard.deployment.planner import Discrepancy
from pipeyard.deployment.targets.interface import Finished, Started

if TYPE_CHECKING:
    from pipeyard.deployment.desired import Desired
    from pipeyard.deployment.records import Record
    from pipeyard.packages.packages import Package
    from pipeyard.repository.project import Project
    from pipeyard.servers.outcome import RunOutcome
    from pipeyard.settings import Environment


@dataclass(frozen=True)
class DeployedRun(Started):
    """A run of what is deployed."""

    deployed: Deployed


@dataclass(frozen=True)
class ServerTarget(ABC):
    """A server. See `interface.Runs` and `interface.Deployments`."""

    environment: "Environment"

    @classmethod
    def of(cls, environment: "Environment", project: "Project | None") -> Self:  # pylint: disable=unused-argument
        """Returns the server of an environment; see `interface.Runs`."""
        return cls(environment)

    @classmethod
    @abstractmethod
    def check(cls, environment: "Environment", pipelines: Collection[str]) -> None:
        """See `interface.Deployments`."""

    @classmethod
    @abstractmethod
    def check_package(cls, environment: "Environment", package: "Package") -> None:
        """See `interface.Deployments`."""

    @abstractmethod
    def connect(self) -> object:
        """Makes the client. Nothing is contacted.

        Raises:
            PipeyardError: it lacks credentials.
        """

    def start(
        self, pipeline: str, parameters: Mapping[str, Any] | None = None, key: str = "", caching: bool | None = None
    ) -> DeployedRun:
        """Starts a run of what the environment has in force; see `interface.Runs`."""
        deployed = deployed_runs.read(self.environment, pipeline, parameters)
        self.connect()
        run, page = self.submit(deployed.record, deployed.package, deployed.parameters, key, caching)
        return DeployedRun(run, page, deployed.parameters, deployed)

    @abstractmethod
    def submit(
        self, record: "Record", package: "Package", parameters: Mapping[str, Any], key: str, caching: bool | None
    ) -> tuple[str, str]:
        """Starts a run of what is recorded as deployed.

        Args:
            key, caching: see `interface.Runs.start`.

        Returns:
            The run's id, and the address of its page.
        """

    @abstractmethod
    def wait(self, run: str, timeout: float, tell: Callable[[str], object]) -> "RunOutcome":
        """See `interface.Runs`."""

    @abstractmethod
    def latest(self, pipeline: str) -> Finished | None:
        """See `interface.Runs`."""

    @abstractmethod
    def missing(self, desired: "Desired", record: "Record | None") -> tuple[Discrepancy, ...]:
        """See `interface.Deployments`."""

    @abstractmethod
    def apply(self, desired: "Desired", record: "Record | None") -> tuple[Mapping[str, str], list[str]]:
        """See `interface.Deployments`."""

    def warnings(self, desired: "Desired") -> list[str]:  # pylint: disable=unused-argument
        """See `interface.Deployments`; default: there is nothing to warn of."""
        return []
