"""Applies a deployment; steps are idempotent, the record is written last."""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

from pipeyard.deployment import planner, records, uploads
from pipeyard.deployment.desired import Desired
from pipeyard.deployment.planner import Discrepancy, Plan
from pipeyard.deployment.records import Record
from pipeyard.deployment.targets.interface import Deployments
from pipeyard.deployment.uploads import Upload
from pipeyard.errors import PipeyardError
from pipeyard.system.bucket import Bucket

Precedes = Callable[[str, str], bool]


@dataclass(frozen=True)
class Deployment:
    """What was done.

    Attributes:
        done: in words; empty if all was as wanted.
    """

    record: Record
    upload: Upload
    done: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns it for programs."""
        record = asdict(self.record)
        return {"changed": bool(self.done), "done": list(self.done), "uri": self.upload.uri, **record}


def look(bucket: Bucket, target: Deployments, desired: Desired, precedes: Precedes) -> Plan:
    """Returns what `deploy` would change. Only reads.

    Args:
        precedes: true if the first commit is known to come before the second.

    Raises:
        PipeyardError: Cloud Storage or the target refuses or can't be reached.
    """
    record = records.read(bucket, desired.pipeline, desired.environment.name)
    found = record.state(records.package_of(bucket, record)) if record else None
    seen = list(target.missing(desired, record))
    if uploads.find(bucket, desired.package) is None:
        uri = bucket.uri(f"{desired.pipeline}/{desired.package.version}")
        seen.insert(0, Discrepancy("package", desired.pipeline, "", uri))
    back = record.commit if record and precedes(desired.package.commit, record.commit) else ""
    return planner.plan(desired.environment.name, desired.pipeline, desired.state, found, tuple(seen), back)


def left_behind(bucket: Bucket, environment: str, pipelines: Collection[str]) -> list[str]:
    """Returns a line for each pipeline that isn't among those of the settings any more, and still runs by schedule.

    Raises:
        PipeyardError: Cloud Storage refuses or can't be reached.
    """
    return [
        f"{record.pipeline} goes on in {environment} by its schedule, {record.schedule and record.schedule['cron']}, "
        "though settings.yaml doesn't name it. To end that, name it there without a schedule, deploy, and take it out."
        for record in records.scheduled_apart_from(bucket, environment, pipelines)
    ]


def refuse_to_go_back(plans: list[Plan]) -> None:
    """Raises PipeyardError if a plan would put an earlier commit in the place of a later one."""
    for plan in plans:
        if plan.back:
            raise PipeyardError(
                f"{plan.environment} has commit {plan.back} of {plan.pipeline}, which comes after {plan.commit}. "
                "Deploy that, or go back on purpose with --rollback."
            )


def deploy(
    bucket: Bucket, target: Deployments, desired: Desired, precedes: Precedes, rollback: bool = False
) -> Deployment:
    """Uploads the package, makes the target have it, and records that.

    Args:
        precedes: true if the first commit is known to come before the second.
        rollback: a later commit that is deployed gives way.

    Raises:
        PipeyardError: Cloud Storage or the target refuses or can't be reached, or a later commit was deployed
            meanwhile.
    """
    environment = desired.environment
    record = records.read(bucket, desired.pipeline, environment.name)
    uploaded = uploads.upload(bucket, desired.package, precedes)
    ids, done = target.apply(desired, record)
    if uploaded.created:
        done = [f"uploaded {uploaded.uri}", *done]
    wanted = Record(
        commit=desired.package.commit,
        pipeline=desired.pipeline,
        environment=environment.name,
        package=uploaded.version,
        pipeline_sha256=desired.package.sha256,
        images=dict(desired.package.images),
        parameters=dict(desired.parameters),
        run=dict(desired.state.run),
        schedule=desired.schedule.model_dump(mode="json") if desired.schedule else None,
        server=dict(ids),
    )
    now = records.move(bucket, wanted, _never if rollback else precedes)
    if now.commit != wanted.commit:
        raise PipeyardError(
            f"{environment.name} got commit {now.commit} of {desired.pipeline}, which comes after {wanted.commit}, "
            "at the same time. Deploy that once more: what is scheduled may be of either."
        )
    if record is None or _in_force(record) != _in_force(wanted):
        done.append(f"{environment.name} has it in force")
    return Deployment(now, uploaded, tuple(done))


def _in_force(record: Record) -> dict[str, Any]:
    """Returns what counts of a record: another commit with the same content changes nothing."""
    return {key: value for key, value in asdict(record).items() if key not in {"commit", "package"}}


def _never(*_: str) -> bool:
    return False
