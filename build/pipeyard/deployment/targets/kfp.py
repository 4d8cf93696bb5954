"""The target `kfp`."""

import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeyard import ir
from pipeyard.compiling.passes import driver
from pipeyard.deployment.planner import Discrepancy
from pipeyard.deployment.targets.interface import INTERVAL, Finished, schedule_name
from pipeyard.deployment.targets.server import ServerTarget
from pipeyard.errors import PipeyardError
from pipeyard.packages import archives
from pipeyard.servers import outcome
from pipeyard.servers.kubeflow import (
    cron,
    experiments,
    failed_steps,
    names,
    pipelines,
    runs,
    schedules,
    server_versions,
)
from pipeyard.servers.kubeflow.connection import Server, connect

if TYPE_CHECKING:
    from pipeyard.deployment.desired import Desired
    from pipeyard.deployment.records import Record
    from pipeyard.packages.packages import Package
    from pipeyard.settings import Environment


# Newest runs that are looked through for one that succeeded.
_MOST_RUNS = 50


class OnKubeflow(ServerTarget):
    """Kubeflow Pipelines. See `interface.Runs` and `interface.Deployments`."""

    @cached_property
    def server(self) -> Server:
        """The client."""
        return connect(self.environment)

    def connect(self) -> Server:
        return self.server

    @classmethod
    def check(cls, environment: "Environment", chosen: Collection[str]) -> None:
        """Refuses names that don't fit, or are one to the server, and schedules that it has no such of."""
        groups = {each: environment.experiment_of(each) or each for each in chosen}
        for pipeline, group in groups.items():
            names.check("pipeline", pipeline)
            names.check("experiment", group)
            names.check("schedule", schedule_name(pipeline, environment.name))
            names.check("run", _new_name(pipeline, "0" * 40), "Choose a shorter one for the pipeline's folder.")
            if schedule := environment.schedule_of(pipeline):
                cron.six_fields(schedule.cron, schedule.timezone)
        names.check_apart("pipeline", groups, "Rename a folder in pipelines/.")
        names.check_apart("experiment", set(groups.values()), "Write `experiment:` in settings.yaml alike.")

    @classmethod
    def check_package(cls, environment: "Environment", package: "Package") -> None:
        """Refuses placeholders in commands that the server leaves unresolved."""
        if problems := driver.unresolved(ir.parse(package.text)):
            raise PipeyardError(
                f"{package.pipeline} can't run in {environment.name!r}, which is on Kubeflow Pipelines: "
                f"{' '.join(problems)}"
            )

    def missing(self, desired: "Desired", record: "Record | None") -> tuple[Discrepancy, ...]:
        found = []
        version = pipelines.find_version(self.server, desired.pipeline, desired.package.sha256)
        if version is None:
            before = record.server.get("version", "") if record else ""
            found.append(Discrepancy("version", desired.pipeline, before, desired.package.version))
        name = schedule_name(desired.pipeline, self.environment.name)
        experiment = experiments.find(self.server, desired.experiment)
        schedule = desired.schedule
        if schedule is None:
            before = record.schedule["cron"] if record and record.schedule else ""
            if before or schedules.found(self.server, name):
                found.append(Discrepancy("schedule", name, before or "not of this deployment", ""))
        elif version is None or experiment is None:
            before = record.schedule["cron"] if record and record.schedule else ""
            # With the version changes what it starts, though not when.
            found.append(Discrepancy("schedule", name, before, f"{schedule.cron} {schedule.timezone}, of this version"))
        else:
            wanted = self._wanted(desired, experiment, version)
            before = record.schedule["cron"] if record and record.schedule else ""
            found += [
                Discrepancy("schedule", name, before, line.removeprefix(f"schedule {name}: "))
                for line in schedules.differences(self.server, wanted)
            ]
        return tuple(found)

    def apply(  # pylint: disable=unused-argument  # it is looked at what is there
        self, desired: "Desired", record: "Record | None"
    ) -> tuple[Mapping[str, str], list[str]]:
        with tempfile.TemporaryDirectory(prefix="pipeyard-") as scratch:
            path = Path(scratch) / archives.WORKFLOW
            path.write_bytes(desired.package.files[archives.WORKFLOW])
            version = pipelines.ensure_version(self.server, path)
        done = [f"made the version {version.name}"] if version.created else []
        if desired.schedule is None:
            done += schedules.remove(self.server, schedule_name(desired.pipeline, self.environment.name))
        experiment = experiments.ensure(self.server, desired.experiment)
        if desired.schedule is not None:
            done += schedules.ensure(self.server, self._wanted(desired, experiment, version))
        ids = {"pipeline_id": version.pipeline_id, "version_id": version.version_id, "version": version.name}
        return ids, done

    def submit(
        self, record: "Record", package: "Package", parameters: Mapping[str, Any], key: str, caching: bool | None
    ) -> tuple[str, str]:
        if lacking := driver.missing(ir.parse(package.text), parameters):
            raise PipeyardError(f"The pipeline {record.pipeline!r} can't run: " + "\n".join(lacking))
        name = f"{record.pipeline}-{key}" if key else _new_name(record.pipeline, record.commit)
        names.check("run", name, "Choose a shorter --key.")
        server = record.server
        version = pipelines.PipelineVersion(
            server["pipeline_id"], server["version_id"], server["version"], created=False
        )
        experiment = experiments.ensure(self.server, record.run["experiment"])
        run = runs.start(
            self.server,
            experiment,
            version,
            name,
            parameters,
            record.run["pipeline_root"],
            caching,
            record.run.get("service_account", ""),
            once=bool(key),
        )
        return run, failed_steps.page_of(self.server.host, run)

    def wait(self, run: str, timeout: float, tell: Callable[[str], object]) -> outcome.RunOutcome:
        return runs.wait(self.server, run, timeout, INTERVAL, tell)

    def latest(self, pipeline: str) -> Finished | None:
        pipeline_id = pipelines.find_pipeline(self.server, pipeline)
        experiment = experiments.find(self.server, self.environment.experiment_of(pipeline) or pipeline)
        if pipeline_id is None or experiment is None:
            return None
        page = self.server.ask(
            f"looking for runs of {pipeline!r}",
            self.server.runs.run_service_list_runs,
            experiment_id=experiment,
            page_size=_MOST_RUNS,
            sort_by="created_at desc",
        )
        for run in page.runs or []:
            version = run.pipeline_version_reference
            if version and version.pipeline_id == pipeline_id and run.state == "SUCCEEDED" and run.finished_at:
                return Finished(run.run_id, run.finished_at)
        return None

    def warnings(self, desired: "Desired") -> list[str]:
        lacking = driver.missing(ir.parse(desired.package.text), desired.parameters)
        return [*server_versions.warnings(server_versions.read(self.server), desired.package.text), *lacking]

    def _wanted(self, desired: "Desired", experiment: str, version: pipelines.PipelineVersion) -> schedules.Wanted:
        assert desired.schedule
        return schedules.wanted(
            schedule_name(desired.pipeline, self.environment.name),
            experiment,
            version.pipeline_id,
            desired.schedule,
            desired.parameters,
            self.environment.pipeline_root,
            version.version_id,
            self.environment.service_account,
        )


def _new_name(pipeline: str, commit: str) -> str:
    """Returns a name that no other run has: what was lost on the way is looked for by it."""
    return f"{pipeline}-{commit[:12]}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
