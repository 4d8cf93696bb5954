"""Walks a pipeline's DAGs: what can run runs, in parallel, in the order and under the conditions that the IR states.

Semantics, from KFP's documentation of the IR (`PipelineTaskSpec`):
- A task starts when the tasks it takes values from and those in `dependentTasks` have ended. It is skipped if one of
  them failed, unless its trigger strategy is ALL_UPSTREAM_TASKS_COMPLETED (exit handlers, `ignore_upstream_failure`).
- A task whose condition is false is skipped; what depends on it goes on, without its outputs.
- A DAG fails if a task in it fails. Tasks that don't depend on the failed one still run.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

from pipeyard.errors import PipeyardError
from pipeyard.ir import Pipeline, values
from pipeyard.ir.protobuf import pb
from pipeyard.local import conditions, placeholders
from pipeyard.runs.record import Artifact, State

_COMPLETED = pb.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED
# google.rpc.Code FAILED_PRECONDITION, which Vertex AI gives for a task that failed.
_FAILED_PRECONDITION = 9
# Iterations that are under way at once, so that some go on while others wait to be tried again.
_ITERATIONS = 32
# Loops of more tasks are one task to those that wait for them: what each waits for is recorded.
_MOST_LEAVES = 20
ArtifactValue = Artifact | list


@dataclass(frozen=True)
class Bound:
    """A value and the leaf tasks it comes from."""

    value: Any
    producers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scope:
    """Inputs of a task or a DAG, by name; an absent optional input has no entry."""

    parameters: Mapping[str, Bound] = field(default_factory=dict)
    artifacts: Mapping[str, Bound] = field(default_factory=dict)

    @property
    def producers(self) -> frozenset[str]:
        """Leaf tasks that any of the values comes from."""
        every = [*self.parameters.values(), *self.artifacts.values()]
        return frozenset().union(*(bound.producers for bound in every))


@dataclass(frozen=True)
class TaskOutcome:
    """How a task ended.

    Attributes:
        parameters, artifacts: outputs by name.
        leaves: paths of the leaf tasks it consists of, or of a loop of many.
        failed_task: name of the task that failed first, for the exit handler's status.
    """

    state: State
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactValue] = field(default_factory=dict)
    error: str = ""
    leaves: frozenset[str] = frozenset()
    failed_task: str = ""
    by_condition: bool = False


@dataclass(frozen=True)
class Leaf:
    """A task that runs a container or imports an artifact, with its inputs resolved."""

    path: str
    name: str
    task: pb.PipelineTaskSpec
    component: pb.ComponentSpec
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactValue] = field(default_factory=dict)
    upstream: frozenset[str] = frozenset()
    condition: str = ""


@dataclass(frozen=True)
class _Nesting:
    """Where in the nesting of DAGs a task stands.

    Attributes:
        width: iterations that may be under way at once in each loop here.
    """

    prefix: str = ""
    gates: frozenset[str] = frozenset()
    condition: str = ""
    width: int = _ITERATIONS

    def path(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name


class TaskExecutor(Protocol):
    """What the scheduler hands leaf tasks to."""

    def planned(self, leaf: Leaf) -> None:
        """Hears of a task before it can run; its inputs aren't known yet."""

    def run(self, leaf: Leaf) -> TaskOutcome:
        """Runs a task to its end; called from several threads."""

    def not_run(self, leaf: Leaf, state: State, reason: str) -> None:
        """Hears of a task that will not run."""


class Scheduler:
    """Runs one pipeline once.

    Args:
        canceled: asked before every task; once it is true nothing more starts.
        job: values of placeholders such as `pipeline_job_uuid`.
        parallel: how many tasks the executor runs at once; others wait in it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        executor: TaskExecutor,
        canceled: Callable[[], bool],
        job: Mapping[str, str],
        parallel: int = 1,
    ) -> None:
        self._pipeline = pipeline
        self._executor = executor
        self._canceled = canceled
        self._job = job
        self._parallel = parallel

    def run(self, parameters: Mapping[str, Any]) -> TaskOutcome:
        """Runs the pipeline with `parameters`, which must be complete and of the declared types."""
        root = self._pipeline.spec.root
        for leaf in self._plan(root, _Nesting(), {}):
            self._executor.planned(leaf)
        scope = Scope({name: Bound(value) for name, value in parameters.items() if value is not None})
        return self._run_dag(root, scope, _Nesting(width=max(_ITERATIONS, self._parallel)))

    def _run_dag(self, component: pb.ComponentSpec, scope: Scope, place: _Nesting) -> TaskOutcome:
        tasks = dict(component.dag.tasks)
        needs = {name: _needs(task) for name, task in tasks.items()}
        if len(tasks) == 1 and not any(needs.values()):  # as in most iterations of loops: nothing is to be ordered
            done = {name: self._run_task(name, task, scope, {}, place) for name, task in tasks.items()}
            return _merge(done, *_dag_outputs(component.dag, done))
        order = _sorter(needs)
        done = {}
        running: dict[Future[TaskOutcome], str] = {}

        def ended(name: str, outcome: TaskOutcome) -> None:
            done[name] = outcome
            order.done(name)

        def run_one(name: str) -> TaskOutcome:
            return self._run_task(name, tasks[name], scope, {other: done[other] for other in needs[name]}, place)

        with ExitStack() as pools:
            pool: ThreadPoolExecutor | None = None
            while order.is_active():
                ready = order.get_ready()
                if len(ready) == 1 and not running:  # it needs no thread
                    ended(ready[0], run_one(ready[0]))
                    continue
                pool = pool or pools.enter_context(ThreadPoolExecutor(max_workers=len(tasks)))
                running |= {pool.submit(run_one, name): name for name in ready}
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    ended(running.pop(future), future.result())
        return _merge(done, *_dag_outputs(component.dag, done))

    def _run_task(
        self, name: str, task: pb.PipelineTaskSpec, scope: Scope, done: Mapping[str, TaskOutcome], place: _Nesting
    ) -> TaskOutcome:
        """Runs a task to its end.

        Args:
            done: the tasks that it needs.
        """
        failed = [needed for needed in sorted(done) if not _passable(done[needed])]
        sources = functools.partial(_sources, task, scope, done)
        if self._canceled():
            return self._skip(name, task, place, sources(), done, State.CANCELED, "the run was stopped")
        if failed and task.trigger_policy.strategy != _COMPLETED:
            return self._skip(name, task, place, sources(), done, State.SKIPPED, f"{failed[0]} did not succeed")
        component = self._pipeline.component(task)
        try:
            inputs = self._inputs(task, component, scope, done, name, place.path(name))
            condition = task.trigger_policy.condition
            if condition:
                bound = {key: each.value for key, each in inputs.parameters.items()}
                words = _in_words(task, condition)
                gates = frozenset().union(*(inputs.parameters[key].producers for key in _named(condition, bound)))
                place = replace(place, gates=place.gates | gates, condition=words)
                if not conditions.holds(condition, bound):
                    outcome = self._skip(name, task, place, sources(), done, State.SKIPPED, f"not so: {words}")
                    return replace(outcome, by_condition=True)
            if task.WhichOneof("iterator"):
                return self._loop(name, task, component, inputs, place, done)
            return self._run_component(name, task, component, inputs, place, done)
        except PipeyardError as error:
            path = place.path(name)
            # A group whose tasks aren't known yet, as those of a loop, stands in the record itself: it says why.
            leaves = list(self._leaves_of(name, task, place, sources(), done)) or [Leaf(path, name, task, component)]
            for leaf in leaves:
                self._executor.not_run(leaf, State.FAILED, str(error))
            return TaskOutcome(State.FAILED, error=f"{path}: {error}", leaves=frozenset([path]), failed_task=name)

    def _run_component(
        self,
        name: str,
        task: pb.PipelineTaskSpec,
        component: pb.ComponentSpec,
        inputs: Scope,
        place: _Nesting,
        done: Mapping[str, TaskOutcome],
    ) -> TaskOutcome:
        after = frozenset().union(*(done[needed].leaves for needed in task.dependent_tasks if needed in done))
        if component.WhichOneof("implementation") == "dag":
            producing = {needed for needed in task.dependent_tasks if done[needed].leaves & inputs.producers}
            waits = frozenset().union(*(done[needed].leaves for needed in set(task.dependent_tasks) - producing))
            return self._run_dag(component, inputs, replace(place, prefix=place.path(name), gates=place.gates | waits))
        leaf = Leaf(
            path=place.path(name),
            name=name,
            task=task,
            component=component,
            parameters={key: bound.value for key, bound in inputs.parameters.items()},
            artifacts={key: bound.value for key, bound in inputs.artifacts.items()},
            upstream=inputs.producers | place.gates | after,
            condition=place.condition,
        )
        return replace(self._executor.run(leaf), leaves=frozenset([leaf.path]))

    def _loop(
        self,
        name: str,
        task: pb.PipelineTaskSpec,
        component: pb.ComponentSpec,
        inputs: Scope,
        place: _Nesting,
        done: Mapping[str, TaskOutcome],
    ) -> TaskOutcome:
        kind = task.WhichOneof("iterator")
        iterator = getattr(task, kind)
        once = pb.PipelineTaskSpec()
        once.CopyFrom(task)
        once.ClearField(kind)
        if kind == "artifact_iterator":
            source = inputs.artifacts[iterator.items.input_artifact]
        elif iterator.items.WhichOneof("kind") == "raw":
            source = Bound(values.coerce(iterator.items.raw, values.Types.LIST, f"the items of {name}"))
        else:
            source = inputs.parameters[iterator.items.input_parameter]
        source = replace(source, value=values.items(source.value))

        def iteration(number: int) -> TaskOutcome:
            item = Bound(source.value[number], source.producers)
            if kind == "artifact_iterator":
                scope = Scope(inputs.parameters, {**inputs.artifacts, iterator.item_input: item})
            else:
                scope = Scope({**inputs.parameters, iterator.item_input: item}, inputs.artifacts)
            indexed = f"{name}[{number}]"
            if self._canceled():
                sources = {key: each.producers for key, each in [*scope.parameters.items(), *scope.artifacts.items()]}
                return self._skip(indexed, once, place, sources, done, State.CANCELED, "the run was stopped")
            return self._run_component(indexed, once, component, scope, inner, done)

        count = len(source.value)
        width = max(1, min(task.iterator_policy.parallelism_limit or count, count, place.width))
        inner = replace(place, width=max(self._parallel, place.width // width))
        with ThreadPoolExecutor(max_workers=width) as pool:
            outcomes = list(pool.map(iteration, range(count)))
        names = component.output_definitions
        parameters = {
            key: [each.parameters[key] for each in outcomes if key in each.parameters] for key in names.parameters
        }
        artifacts = {
            key: [each.artifacts[key] for each in outcomes if key in each.artifacts] for key in names.artifacts
        }
        merged = _merge({str(number): each for number, each in enumerate(outcomes)}, parameters, artifacts)
        return replace(merged, leaves=frozenset([place.path(name)])) if len(merged.leaves) > _MOST_LEAVES else merged

    def _inputs(
        self,
        task: pb.PipelineTaskSpec,
        component: pb.ComponentSpec,
        scope: Scope,
        done: Mapping[str, TaskOutcome],
        task_name: str,
        path: str,
    ) -> Scope:
        """Resolves a task's inputs from its DAG's inputs and the outputs of the tasks beside it."""
        parameters: dict[str, Bound] = {}
        for name, spec in task.inputs.parameters.items():
            bound = self._parameter(spec, scope, done)
            if bound and spec.parameter_expression_selector:
                bound = replace(bound, value=values.select(bound.value, spec.parameter_expression_selector))
            if bound:
                parameters[name] = bound
        self._resolve_constants(task, parameters, task_name, path)
        artifacts: dict[str, Bound] = {}
        for name, spec in task.inputs.artifacts.items():
            bound = _artifact(spec, scope, done)
            if bound:
                artifacts[name] = bound

        definitions = component.input_definitions
        iterator = getattr(task, task.WhichOneof("iterator")).item_input if task.WhichOneof("iterator") else None
        for name, definition in definitions.parameters.items():
            if name not in parameters and definition.HasField("default_value"):
                parameters[name] = Bound(values.from_proto(definition.default_value))
            if name in parameters and name != iterator:
                typed = values.typed(parameters[name].value, definition.parameter_type, f"the input {name!r}")
                parameters[name] = replace(parameters[name], value=typed)
            elif name != iterator and not definition.is_optional:
                shown = name.removeprefix("pipelinechannel--")
                raise PipeyardError(f"its input {shown!r} has no value: what produces it was skipped or left it out.")
        for name, definition in definitions.artifacts.items():
            if name not in artifacts and not definition.is_optional and name != iterator:
                raise PipeyardError(f"its input {name!r} has no artifact: what produces it was skipped or left it out.")
        return Scope(parameters, artifacts)

    def _parameter(
        self, spec: pb.TaskInputsSpec.InputParameterSpec, scope: Scope, done: Mapping[str, TaskOutcome]
    ) -> Bound | None:
        kind = spec.WhichOneof("kind")
        if kind == "component_input_parameter":
            return scope.parameters.get(spec.component_input_parameter)
        if kind == "runtime_value":
            if spec.runtime_value.WhichOneof("value") != "constant":
                raise PipeyardError("it uses a runtime parameter, which KFP 2 pipelines don't have. Compile it again.")
            return Bound(values.from_proto(spec.runtime_value.constant))
        if kind == "task_output_parameter":
            producer = done[spec.task_output_parameter.producer_task]
            key = spec.task_output_parameter.output_parameter_key
            return Bound(producer.parameters[key], producer.leaves) if key in producer.parameters else None
        producer = done[spec.task_final_status.producer_task]
        return Bound(self._final_status(spec.task_final_status.producer_task, producer), producer.leaves)

    def _final_status(self, name: str, ended: TaskOutcome) -> dict[str, Any]:
        """Returns KFP's PipelineTaskFinalStatus, which has every field however the task ended."""
        return {
            "state": "SUCCEEDED" if ended.state.has_outputs else str(ended.state),
            "pipelineTaskName": name,
            "pipelineJobResourceName": self._job.get("pipeline_job_resource_name", ""),
            "error": {"code": _FAILED_PRECONDITION, "message": ended.error} if ended.error else {},
        }

    def _resolve_constants(self, task: pb.PipelineTaskSpec, parameters: dict[str, Bound], name: str, path: str) -> None:
        """Fills placeholders in constants (f-strings of the pipeline's author): other inputs, the job's id."""
        known = {key: bound.value for key, bound in parameters.items()}
        constants = [key for key, spec in task.inputs.parameters.items() if spec.WhichOneof("kind") == "runtime_value"]
        refer = [key for key in constants if "{{$" in str(known[key])]
        told = placeholders.of_task(self._job, name, path) if refer else {}
        for key in refer:
            producers = frozenset().union(*(bound.producers for other, bound in parameters.items() if other != key))
            parameters[key] = Bound(placeholders.constant(known[key], known, told), producers)

    def _skip(
        self,
        name: str,
        task: pb.PipelineTaskSpec,
        place: _Nesting,
        sources: Mapping[str, frozenset[str]],
        done: Mapping[str, TaskOutcome],
        state: State,
        reason: str,
    ) -> TaskOutcome:
        leaves = list(self._leaves_of(name, task, place, sources, done))
        for leaf in leaves:
            self._executor.not_run(leaf, state, reason)
        return TaskOutcome(state, leaves=frozenset(leaf.path for leaf in leaves))

    def _leaves_of(
        self,
        name: str,
        task: pb.PipelineTaskSpec,
        place: _Nesting,
        sources: Mapping[str, frozenset[str]],
        done: Mapping[str, TaskOutcome],
    ) -> Iterator[Leaf]:
        """Yields the leaf tasks that a task is or holds, with what each waits for, as far as they are known.

        Args:
            sources: its inputs to the leaf tasks they come from.
        """
        component = self._pipeline.component(task)
        after = frozenset().union(*(done[needed].leaves for needed in task.dependent_tasks if needed in done))
        data = frozenset().union(*sources.values())
        if component.WhichOneof("implementation") == "dag":
            inner = replace(place, prefix=place.path(name), gates=place.gates | (after - data))
            yield from self._plan(component, inner, sources)
        else:
            upstream = data | place.gates | after
            yield Leaf(place.path(name), name, task, component, upstream=upstream, condition=place.condition)

    def _plan(
        self, component: pb.ComponentSpec, place: _Nesting, sources: Mapping[str, frozenset[str]]
    ) -> Iterator[Leaf]:
        """Yields a DAG's leaf tasks in the order of their dependencies, as far as they are known beforehand.

        Args:
            sources: the DAG's inputs to the leaf tasks they come from.
        """
        inside: dict[str, frozenset[str]] = {}
        for name in _in_order(component.dag.tasks):
            task = component.dag.tasks[name]
            if task.WhichOneof("iterator"):
                continue  # its tasks are known once the loop's items are
            needed = {key: _static_source(spec, sources, inside) for key, spec in _input_specs(task)}
            after = frozenset().union(*(inside.get(other, frozenset()) for other in task.dependent_tasks))
            condition = task.trigger_policy.condition
            gates = place.gates
            if condition:
                gates = gates.union(*(needed[key] for key in _named(condition, needed)))
            inner = replace(place, gates=gates, condition=_in_words(task, condition) if condition else place.condition)
            target = self._pipeline.component(task)
            data = frozenset().union(*needed.values())
            if target.WhichOneof("implementation") == "dag":
                leaves = list(self._plan(target, replace(inner, prefix=place.path(name)), needed))
            else:
                upstream = data | gates | after
                leaves = [Leaf(place.path(name), name, task, target, upstream=upstream, condition=inner.condition)]
            inside[name] = frozenset(leaf.path for leaf in leaves)
            yield from leaves


def _in_order(tasks: Mapping[str, pb.PipelineTaskSpec]) -> list[str]:
    """Returns the names of a DAG's tasks, each after those it needs.

    Raises:
        PipeyardError: they wait for each other.
    """
    order = _sorter({name: _needs(task) for name, task in tasks.items()})
    found: list[str] = []
    while order.is_active():
        ready = order.get_ready()
        found += ready
        order.done(*ready)
    return found


def _sorter(needs: Mapping[str, set[str]]) -> TopologicalSorter[str]:
    """Returns what gives tasks once those that they need are done, in the order of their names where that is open.

    Raises:
        PipeyardError: they wait for each other.
    """
    order = TopologicalSorter({name: sorted(needs[name]) for name in sorted(needs)})
    try:
        order.prepare()
    except CycleError as error:
        raise PipeyardError(f"the tasks {error.args[1]} wait for each other.") from error
    return order


def _input_specs(task: pb.PipelineTaskSpec) -> list[tuple[str, Any]]:
    return [*task.inputs.parameters.items(), *task.inputs.artifacts.items()]


def _static_source(
    spec: Any, sources: Mapping[str, frozenset[str]], inside: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    kind = spec.WhichOneof("kind")
    if kind in ("component_input_parameter", "component_input_artifact"):
        return sources.get(getattr(spec, kind), frozenset())
    if kind in ("task_output_parameter", "task_output_artifact", "task_final_status"):
        return inside.get(getattr(spec, kind).producer_task, frozenset())
    return frozenset()


def _sources(task: pb.PipelineTaskSpec, scope: Scope, done: Mapping[str, TaskOutcome]) -> dict[str, frozenset[str]]:
    """Returns a task's inputs to the leaf tasks that they come from, once the tasks before it have ended."""
    return {key: _source(spec, scope, done) for key, spec in _input_specs(task)}


def _source(spec: Any, scope: Scope, done: Mapping[str, TaskOutcome]) -> frozenset[str]:
    """Returns the leaf tasks that an input comes from, once the tasks before it have ended."""
    kind = spec.WhichOneof("kind")
    if kind == "component_input_parameter":
        bound = scope.parameters.get(spec.component_input_parameter)
        return bound.producers if bound else frozenset()
    if kind == "component_input_artifact":
        bound = scope.artifacts.get(spec.component_input_artifact)
        return bound.producers if bound else frozenset()
    if kind in ("task_output_parameter", "task_output_artifact", "task_final_status"):
        producer = getattr(spec, kind).producer_task
        return done[producer].leaves if producer in done else frozenset()
    return frozenset()


def _needs(task: pb.PipelineTaskSpec) -> set[str]:
    """Returns the names of the tasks beside it that must have ended before `task` starts."""
    needs = set(task.dependent_tasks)
    for spec in task.inputs.parameters.values():
        if spec.WhichOneof("kind") == "task_output_parameter":
            needs.add(spec.task_output_parameter.producer_task)
        elif spec.WhichOneof("kind") == "task_final_status":
            needs.add(spec.task_final_status.producer_task)
    for spec in task.inputs.artifacts.values():
        if spec.WhichOneof("kind") == "task_output_artifact":
            needs.add(spec.task_output_artifact.producer_task)
    return needs


def _passable(outcome: TaskOutcome) -> bool:
    return outcome.state.has_outputs or outcome.by_condition


def _artifact(spec: pb.TaskInputsSpec.InputArtifactSpec, scope: Scope, done: Mapping[str, TaskOutcome]) -> Bound | None:
    if spec.WhichOneof("kind") == "component_input_artifact":
        return scope.artifacts.get(spec.component_input_artifact)
    producer = done[spec.task_output_artifact.producer_task]
    key = spec.task_output_artifact.output_artifact_key
    return Bound(producer.artifacts[key], producer.leaves) if key in producer.artifacts else None


def _dag_outputs(dag: pb.DagSpec, done: Mapping[str, TaskOutcome]) -> tuple[dict[str, Any], dict[str, ArtifactValue]]:
    """Collects a DAG's outputs; those of skipped tasks are left out, and of `dsl.OneOf` the first that is there."""
    parameters: dict[str, Any] = {}
    for name, spec in dag.outputs.parameters.items():
        if spec.WhichOneof("kind") == "value_from_oneof":
            selectors = list(spec.value_from_oneof.parameter_selectors)
        else:
            selectors = [spec.value_from_parameter]
        for selector in selectors:
            outputs = done[selector.producer_subtask].parameters
            if selector.output_parameter_key in outputs:
                parameters[name] = outputs[selector.output_parameter_key]
                break
    artifacts: dict[str, ArtifactValue] = {}
    for name, spec in dag.outputs.artifacts.items():
        for selector in spec.artifact_selectors:
            outputs = done[selector.producer_subtask].artifacts
            if selector.output_artifact_key in outputs:
                artifacts[name] = outputs[selector.output_artifact_key]
                break
    return parameters, artifacts


def _merge(
    done: Mapping[str, TaskOutcome], parameters: Mapping[str, Any], artifacts: Mapping[str, ArtifactValue]
) -> TaskOutcome:
    leaves = frozenset().union(*(outcome.leaves for outcome in done.values()))
    for state in (State.FAILED, State.CANCELED):
        for name, outcome in done.items():
            if outcome.state == state:
                return TaskOutcome(
                    state, parameters, artifacts, outcome.error, leaves, failed_task=outcome.failed_task or name
                )
    return TaskOutcome(State.SUCCEEDED, parameters, artifacts, leaves=leaves)


def _named(condition: str, bound: Mapping[str, Any]) -> list[str]:
    return [name for name in bound if f"'{name}'" in condition]


def _in_words(task: pb.PipelineTaskSpec, condition: str) -> str:
    """Returns a condition as a person would write it: `data-validation.valid == true`."""
    text = condition
    for name in task.inputs.parameters:
        _, _, channel = name.partition("pipelinechannel--")
        spec = task.inputs.parameters[name]
        if spec.WhichOneof("kind") == "task_output_parameter":
            output = spec.task_output_parameter
            channel = f"{output.producer_task}.{output.output_parameter_key}"
        reference = f"inputs.parameter_values['{name}']"
        text = text.replace(f"int({reference})", reference).replace(reference, channel or name)
    return text
