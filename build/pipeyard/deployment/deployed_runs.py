"""What a run on a server is started with: what is deployed, regardless of what is checked out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeyard.deployment import records
from pipeyard.deployment.records import Record
from pipeyard.errors import PipeyardError
from pipeyard.ir import derivation
from pipeyard.packages.packages import Package
from pipeyard.system import bucket as buckets

if TYPE_CHECKING:
    from pipeyard.settings import Environment


@dataclass(frozen=True)
class Deployed:
    """What is in force of a pipeline.

    Attributes:
        parameters: for a run.
        inputs: that its pipeline declares, ComponentInputsSpec.
    """

    record: Record
    package: Package
    parameters: Mapping[str, Any]
    inputs: Any


def read(environment: "Environment", pipeline: str, parameters: Mapping[str, Any] | None = None) -> Deployed:
    """Returns what an environment has in force of a pipeline.

    Args:
        parameters: over those that were deployed; text is read as the pipeline declares it.

    Raises:
        PipeyardError: it isn't deployed there, a parameter doesn't fit, or Cloud Storage refuses or can't be reached.
    """
    from pipeyard import ir
    from pipeyard.settings import fit

    place = buckets.connect(environment.bucket)
    record = records.read(place, pipeline, environment.name)
    if record is None:
        raise PipeyardError(
            f"{pipeline} isn't deployed to {environment.name}. Run `pipeyard deploy --env {environment.name} "
            f"{pipeline}`."
        )
    package = records.package_of(place, record)
    if package is None:
        raise PipeyardError(
            f"The package that {environment.name} has in force, {record.package} of {pipeline}, isn't in "
            f"{place.place} any more. Run `pipeyard deploy --env {environment.name} {pipeline}` again."
        )
    bare = environment.model_copy(update={"parameters": {}, "pipelines": {}})
    inputs = ir.parse(package.text).spec.root.input_definitions
    given = fit.check(bare, pipeline, inputs, {**record.parameters, **(parameters or {})})
    return Deployed(record, package, given, inputs)


def differing(deployed: Deployed, environment: "Environment") -> list[str]:
    """Returns the names of parameters, and the deadline and retries, that settings.yaml has otherwise now."""
    recorded, declared = deployed.record.parameters, deployed.inputs.parameters
    now = environment.parameters_of(deployed.record.pipeline, declared)
    names = sorted(name for name in {*now, *recorded} if _typed(now.get(name), declared, name) != recorded.get(name))
    limits, kept = _limits(deployed, environment), records.limits_of(deployed.record)
    return [*names, *sorted(name for name in {*limits, *kept} if limits.get(name) != kept.get(name))]


def _limits(deployed: Deployed, environment: "Environment") -> dict[str, str]:
    """Returns what a deployment now would record of a run's limits."""
    pipeline = deployed.record.pipeline
    steps = derivation.steps(deployed.package.text)
    retries = environment.retries_of(pipeline, lambda key: any(step.is_named(key) for step in steps))
    return records.limits(environment.deadline_of(pipeline), derivation.retried(deployed.package.text, retries))


def _typed(value: Any, declared: Mapping[str, Any], name: str) -> Any:
    """Returns a value as a deployment of it would record it; one that doesn't fit the pipeline as it is."""
    from pipeyard.ir import values

    if value is None or name not in declared:
        return value
    try:
        return values.coerce(value, declared[name].parameter_type, name)
    except PipeyardError:
        return value
