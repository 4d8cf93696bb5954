"""The target `vertex`."""

import json
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeyard.deployment.planner import Discrepancy
from pipeyard.deployment.targets.interface import INTERVAL, Finished, schedule_name
from pipeyard.deployment.targets.server import ServerTarget
from pipeyard.errors import PipeyardError
from pipeyard.ir import cache_override as caches
from pipeyard.packages import packages
from pipeyard.servers.outcome import RunOutcome
from pipeyard.servers.vertex import jobs, schedules, templates
from pipeyard.servers.vertex.connection import Vertex, connect

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob

    from pipeyard.deployment.desired import Desired
    from pipeyard.deployment.records import Record
    from pipeyard.packages.packages import Package
    from pipeyard.settings import Environment


class OnVertex(ServerTarget):
    """Vertex AI Pipelines. It has no versions: each run brings its pipeline.

    See `interface.Runs` and `interface.Deployments`.
    """

    @cached_property
    def vertex(self) -> Vertex:
        """The client."""
        return connect(self.environment)

    def connect(self) -> Vertex:
        return self.vertex

    @classmethod
    def check(cls, environment: "Environment", chosen: Collection[str]) -> None:
        """Every name and schedule is fine."""

    @classmethod
    def check_package(cls, environment: "Environment", package: "Package") -> None:
        """Refuses settings of Kubernetes and, as Vertex AI keeps none, deadlines."""
        packages.document(package)
        pipeline = package.pipeline
        if environment.deadline_of(pipeline) is None:
            return
        own = environment.of(pipeline).deadline is not None
        where = environment.where(*(("pipelines", pipeline) if own else ()), "deadline")
        raise PipeyardError(
            f"{where}: {environment.name!r} is on Vertex AI, which stops no run at a deadline. Take it out"
            f"{'' if own else f', or write `deadline: null` in {environment.name} if it is of the defaults'}; "
            "`timeout` says how long a run is waited for."
        )

    def missing(self, desired: "Desired", record: "Record | None") -> tuple[Discrepancy, ...]:
        found = []
        template = self._kept(desired, record)
        if self.environment.templates and not template:
            before = record.server.get("template", "") if record else ""
            found.append(Discrepancy("template", desired.pipeline, before, self.environment.templates))
        name = schedule_name(desired.pipeline, self.environment.name)
        if schedules.differs(self.vertex, name, self._timing(desired), self._scheduled(desired, template)):
            before = record.schedule["cron"] if record and record.schedule else ""
            schedule = desired.schedule
            after = f"{schedule.cron} {schedule.timezone}, of this content" if schedule else ""
            found.append(Discrepancy("schedule", name, before, after))
        return tuple(found)

    def apply(self, desired: "Desired", record: "Record | None") -> tuple[Mapping[str, str], list[str]]:
        done = []
        template = self._kept(desired, record)
        if self.environment.templates and not template:
            tags = [desired.package.version, self.environment.name]
            repository = self.environment.templates
            session = templates.open_session(repository, self.vertex.credentials)
            template = templates.upload(repository, desired.package.text.encode(), tags, session, self.vertex.patience)
            done.append(f"uploaded the template {template}")
        name = schedule_name(desired.pipeline, self.environment.name)
        done += schedules.ensure(self.vertex, name, self._timing(desired), self._scheduled(desired, template))
        return {"template": template}, done

    def submit(
        self, record: "Record", package: "Package", parameters: Mapping[str, Any], key: str, caching: bool | None
    ) -> tuple[str, str]:
        document = packages.document(package)
        if caching is not None:
            document = json.dumps(caches.override(json.loads(document), caching)).encode()
        labels = _labels(package, record.environment, record.run.get("experiment", ""))
        template = jobs.Template(document, record.server.get("template", ""), labels)
        wanted = jobs.job(
            template,
            record.pipeline,
            parameters,
            record.run["pipeline_root"],
            record.run.get("service_account", ""),
        )
        run = jobs.start(self.vertex, wanted, jobs.job_id(record.pipeline, key))
        return run, jobs.page(self.vertex, run)

    def wait(self, run: str, timeout: float, tell: Callable[[str], object]) -> RunOutcome:
        return jobs.wait(self.vertex, run, timeout, INTERVAL, tell)

    def latest(self, pipeline: str) -> Finished | None:
        """Runs have the pipeline's and the environment's name as labels."""
        labels = {"pipeline": pipeline, "environment": self.environment.name}
        wanted = [f'labels.{key}="{jobs.label(value)}"' for key, value in labels.items()]
        request = {
            "parent": self.vertex.parent,
            "filter": " AND ".join([*wanted, 'state="PIPELINE_STATE_SUCCEEDED"']),
            "order_by": "end_time desc",
            "page_size": 1,
        }
        found = self.vertex.ask(
            f"looking for runs of {pipeline!r}", self.vertex.jobs.list_pipeline_jobs, request=request
        )
        newest = next(iter(found), None)
        return Finished(newest.name.rpartition("/")[2], newest.end_time) if newest else None

    def _kept(self, desired: "Desired", record: "Record | None") -> str:
        """Returns the template's address by digest, if it is recorded for this content in this repository."""
        if record is None or record.pipeline_sha256 != desired.package.sha256:
            return ""
        kept = record.server.get("template", "")
        return kept if self.environment.templates and kept.startswith(self.environment.templates.rstrip("/")) else ""

    def _scheduled(self, desired: "Desired", template: str) -> "PipelineJob":
        labels = _labels(desired.package, self.environment.name, desired.experiment)
        return jobs.job(
            jobs.Template(packages.document(desired.package), template, labels),
            desired.pipeline,
            desired.parameters,
            self.environment.pipeline_root,
            self.environment.service_account,
        )

    def _timing(self, desired: "Desired") -> schedules.Timing | None:
        wanted = desired.schedule
        if wanted is None:
            return None
        return schedules.Timing(
            wanted.cron, wanted.timezone, wanted.enabled, wanted.max_concurrent_runs, wanted.catch_up
        )


def _labels(package: "Package", environment: str, experiment: str) -> dict[str, str]:
    return {
        "commit": package.commit,
        "content": package.content,
        "environment": environment,
        "pipeline": package.pipeline,
        "experiment": experiment,
    }
