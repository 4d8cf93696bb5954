"""What an environment has in force, as its last deployment recorded it: `<pipeline>/environments/<name>.json`.

Servers keep neither parameters nor images of what is deployed; plans, runs and triggers read them here.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeyard import ir
from pipeyard.deployment import cache_keys, pointers, uploads
from pipeyard.deployment.planner import DeployedPipeline
from pipeyard.errors import PipeyardError
from pipeyard.ir import kubernetes_settings
from pipeyard.packages.packages import Package
from pipeyard.settings import durations
from pipeyard.system.bucket import Bucket

_DEADLINE = "deadline"
_RETRIES_OF = "retries of "
_KUBERNETES_OF = "kubernetes of "


@dataclass(frozen=True)
class Record:
    """One pipeline in one environment.

    Attributes:
        package: `<commit>-<content>` in the bucket.
        run: what runs have but parameters: pipeline_root, service_account, experiment, deadline, retries of a step,
            what Kubernetes is told of a step.
        schedule: as settings.yaml has it; None: there is none.
        server: ids that the target gave: of the pipeline and version, or of the template.
    """

    commit: str
    pipeline: str
    environment: str
    package: str
    pipeline_sha256: str
    images: Mapping[str, str]
    parameters: Mapping[str, Any]
    run: Mapping[str, str]
    schedule: Mapping[str, Any] | None = None
    server: Mapping[str, str] = field(default_factory=dict)

    def state(self, package: Package | None) -> DeployedPipeline:
        """Returns it as plans compare it.

        Args:
            package: that it names; None: it is gone, and so its steps aren't known.
        """
        steps = cache_keys.read(package.text, self.parameters) if package else {}
        return DeployedPipeline(self.commit, self.pipeline_sha256, self.images, self.parameters, self.run, steps)


def limits(deadline: float | None, retries: Mapping[str, int]) -> dict[str, str]:
    """Returns limits of runs as `Record.run` has them.

    Args:
        deadline: seconds; None: none.
        retries: path of a step to how often it is tried again.
    """
    told = {} if deadline is None else {_DEADLINE: durations.as_text(deadline)}
    return told | {f"{_RETRIES_OF}{path}": str(count) for path, count in sorted(retries.items())}


def kubernetes(text: str) -> dict[str, str]:
    """Returns what a compiled pipeline sets for its steps on Kubernetes, as `Record.run` has it."""
    pipeline = ir.parse(text)
    found = {}
    for label, settings in pipeline.kubernetes.items():
        told = {name: value for name, value in settings.items() if name != kubernetes_settings.TIMEOUT}
        if label in pipeline.timeouts:  # its own, not the environment's deadline
            told[kubernetes_settings.TIMEOUT] = pipeline.timeouts[label]
        if words := "; ".join(kubernetes_settings.described(told)):
            found[f"{_KUBERNETES_OF}{label.removeprefix('exec-')}"] = words
    return dict(sorted(found.items()))


def limits_of(record: Record) -> dict[str, str]:
    """Returns what a record says of the limits of runs."""
    return {key: value for key, value in record.run.items() if key == _DEADLINE or key.startswith(_RETRIES_OF)}


def path_of(pipeline: str, environment: str) -> str:
    """Returns where the record is in the bucket."""
    return f"{pipeline}/environments/{environment}.json"


def read(bucket: Bucket, pipeline: str, environment: str) -> Record | None:
    """Returns the record; None before the first deployment.

    Raises:
        PipeyardError: it is damaged, or Cloud Storage refuses or can't be reached.
    """
    path = path_of(pipeline, environment)
    found = pointers.read(bucket, path)
    return _parse(found, bucket.uri(path)) if found else None


def package_of(bucket: Bucket, record: Record) -> Package | None:
    """Returns the package that a record names; None if it is gone.

    Raises:
        PipeyardError: it is damaged, or Cloud Storage refuses or can't be reached.
    """
    return uploads.fetch(bucket, record.pipeline, record.package)


def scheduled_apart_from(bucket: Bucket, environment: str, pipelines: Collection[str]) -> list[Record]:
    """Returns records of an environment that have a schedule, of other pipelines than those given.

    Raises:
        PipeyardError: one is damaged, or Cloud Storage refuses or can't be reached.
    """
    found = [read(bucket, name, environment) for name in bucket.folders() if name not in pipelines]
    return [record for record in found if record and record.schedule]


def move(bucket: Bucket, record: Record, precedes: Callable[[str, str], bool]) -> Record:
    """Makes this the current record by compare-and-swap, unless the current one names a later commit; returns it.

    Raises:
        PipeyardError: others change it all the time, or Cloud Storage refuses or can't be reached.
    """
    path = path_of(record.pipeline, record.environment)
    return _parse(pointers.move(bucket, path, asdict(record), precedes), bucket.uri(path))


def _parse(said: Mapping[str, Any], uri: str) -> Record:
    try:
        return Record(**said)
    except TypeError as error:
        raise PipeyardError(f"{uri} is damaged ({error}). Remove it, and deploy again.") from error
