"""Runs of what is deployed: its version, its parameters, its place for artifacts, whatever is checked out here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeyard.deployment import records
from pipeyard.deployment.records import Record
from pipeyard.deployment.targets import choice
from pipeyard.deployment.targets.interface import Target
from pipeyard.errors import PipeyardError
from pipeyard.ir import derivation
from pipeyard.system import bucket as buckets

if TYPE_CHECKING:
    from pipeyard.servers.outcome import RunOutcome
    from pipeyard.settings import Environment


@dataclass(frozen=True)
class Started:
    """A run.

    Attributes:
        page: its address for people.
        parameters: with which it was started.
        inputs: that its pipeline declares, ComponentInputsSpec.
        text: its compiled pipeline.
    """

    run_id: str
    page: str
    record: Record
    parameters: Mapping[str, Any]
    target: Target
    inputs: Any
    text: str


def start(
    environment: "Environment",
    pipeline: str,
    parameters: Mapping[str, Any] | None = None,
    key: str = "",
    caching: bool | None = None,
) -> Started:
    """Starts a run of what an environment has in force of a pipeline.

    Args:
        parameters: over those that were deployed; text is read as the pipeline declares it.
        key: lower case letters, digits and dashes. Started again with the same key, it is the same run.
            Empty: a new one.
        caching: False: no step's cache is used, whatever the pipeline says.

    Raises:
        PipeyardError: it isn't deployed there, a parameter doesn't fit, or Cloud Storage or the target refuses or
            can't be reached.
    """
    from pipeyard import ir
    from pipeyard.settings import fit

    if environment.target == "local":
        raise PipeyardError(
            f"Nothing is deployed to {environment.name!r}, which is this machine. Use `pipeyard run {pipeline} --env "
            f"{environment.name}`."
        )
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
    target = choice.connect(environment)
    run, page = target.start(record, package, given, key, caching)
    return Started(run, page, record, given, target, inputs, package.text)


def wait(started: Started, timeout: float, tell: Callable[[str], object]) -> "RunOutcome":
    """Returns how a run ended.

    Args:
        timeout: seconds.
        tell: takes states that are new.

    Raises:
        PipeyardError: it hasn't ended in time, or the target is gone for too long. The run goes on.
    """
    return started.target.wait(started.run_id, timeout, tell)


def differing(started: Started, environment: "Environment") -> list[str]:
    """Returns the names of parameters, and the deadline and retries, that settings.yaml has otherwise now."""
    deployed, declared = started.record.parameters, started.inputs.parameters
    now = environment.parameters_of(started.record.pipeline, declared)
    names = sorted(name for name in {*now, *deployed} if _typed(now.get(name), declared, name) != deployed.get(name))
    limits, kept = _limits(started, environment), records.limits_of(started.record)
    return [*names, *sorted(name for name in {*limits, *kept} if limits.get(name) != kept.get(name))]


def _limits(started: Started, environment: "Environment") -> dict[str, str]:
    """Returns what a deployment now would record of a run's limits."""
    pipeline = started.record.pipeline
    steps = derivation.steps(started.text)
    retries = environment.retries_of(pipeline, lambda key: any(step.is_named(key) for step in steps))
    return records.limits(environment.deadline_of(pipeline), derivation.retried(started.text, retries))


def _typed(value: Any, declared: Mapping[str, Any], name: str) -> Any:
    """Returns a value as a deployment of it would record it; one that doesn't fit the pipeline as it is."""
    from pipeyard.ir import values

    if value is None or name not in declared:
        return value
    try:
        return values.coerce(value, declared[name].parameter_type, name)
    except PipeyardError:
        return value
