"""The desired state of a pipeline in an environment, checked before anything is contacted."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeyard.deployment import cache_keys, records
from pipeyard.deployment.planner import DeployedPipeline
from pipeyard.ir import derivation
from pipeyard.packages import builds, packages
from pipeyard.packages.packages import Package

if TYPE_CHECKING:
    from pipeyard.repository.project import Project
    from pipeyard.settings import Environment, Schedule


@dataclass(frozen=True)
class Desired:
    """A package with what its runs get in an environment.

    Attributes:
        package: with the environment's deadline and retries in it; see `packages.limited`.
        parameters: typed as the pipeline declares them.
        retries: path of a step to how often the environment has it tried again.
    """

    environment: "Environment"
    package: Package
    parameters: Mapping[str, Any]
    retries: Mapping[str, int] = field(default_factory=dict)

    @property
    def pipeline(self) -> str:
        """Name of the pipeline's folder."""
        return self.package.pipeline

    @property
    def schedule(self) -> "Schedule | None":
        """When it runs by itself."""
        return self.environment.schedule_of(self.pipeline)

    @property
    def experiment(self) -> str:
        """What runs are grouped under."""
        return self.environment.experiment_of(self.pipeline) or self.pipeline

    @cached_property
    def state(self) -> DeployedPipeline:
        """As plans compare it."""
        run = {
            "pipeline_root": self.environment.pipeline_root,
            "service_account": self.environment.service_account,
            "experiment": self.experiment,
            **records.limits(self.environment.deadline_of(self.pipeline), self.retries),
            **records.kubernetes(self.package.text),
        }
        return DeployedPipeline(
            self.package.commit,
            self.package.sha256,
            self.package.images,
            self.parameters,
            {key: value for key, value in run.items() if value},
            cache_keys.read(self.package.text, self.parameters),
        )

    @cached_property
    def digest(self) -> str:
        """sha256 in hex of the desired state and its place; the commit doesn't count."""
        place = self.environment
        schedule = self.schedule
        what = {
            "environment": [place.name, place.target, place.host, place.namespace, place.project, place.region],
            "pipeline": [self.pipeline, self.package.sha256],
            "parameters": dict(self.parameters),
            "run": dict(self.state.run),
            "schedule": schedule.model_dump(mode="json") if schedule else None,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def chosen(project: "Project", environment: "Environment", names: Sequence[str]) -> list[str]:
    """Returns the pipelines that are meant: those named, or those that the environment names, or all.

    Raises:
        PipeyardError: there is no such pipeline.
    """
    meant = list(names) or environment.chosen(project.pipelines)
    for name in meant:
        project.pipeline(name)
    return meant


def read(
    project: "Project", environment: "Environment", names: Sequence[str], dist: Path, allow_dirty: bool = False
) -> list[Desired]:
    """Returns the desired state, from what is checked out, compiled, and set. Nothing is contacted.

    Args:
        names: of pipelines; empty: see `chosen`.
        dist: folder of `pipeyard build` and `pipeyard compile`.

    Raises:
        PipeyardError: nothing can be deployed there, a package is missing or of other content, parameters or retries
            don't fit the pipeline, or the target refuses it.
    """
    from pipeyard import ir
    from pipeyard.deployment.targets import choice
    from pipeyard.settings import fit

    server = choice.server_of(environment)
    server.check(environment, {*environment.chosen(project.pipelines), *names})
    build = builds.built(project, dist, allow_dirty)
    read_packages = [packages.read(dist / name, build) for name in chosen(project, environment, names)]
    for package in read_packages:
        server.check_package(environment, package)
    wanted = []
    for package in read_packages:
        inputs = ir.parse(package.text).spec.root.input_definitions
        parameters = fit.check(environment, package.pipeline, inputs)
        retries = fit.retries(environment, package.pipeline, package.text)
        limited = packages.limited(package, environment.deadline_of(package.pipeline), retries)
        wanted.append(Desired(environment, limited, parameters, derivation.retried(package.text, retries)))
    return wanted
