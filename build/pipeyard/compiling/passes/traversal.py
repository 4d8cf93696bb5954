"""Goes through a pipeline's tasks with what is known of their inputs, pipelines in pipelines included."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeyard.ir import Pipeline
from pipeyard.ir.protobuf import pb

ROOT = ""
Knowledge = TypeVar("Knowledge")


@dataclass(frozen=True)
class Visit(Generic[Knowledge]):
    """A task, in one of the places where its DAG is used.

    Attributes:
        dag: name of the component that holds the task; `ROOT` of the pipeline's own.
        path: of the task through the groups around it: `group/step`.
        inputs: name of each declared input parameter to what is known of it.
        conditional: true if a group around it has a condition; the task's own doesn't count, as inputs come first.
    """

    dag: str
    path: str
    task: pb.PipelineTaskSpec
    component: pb.ComponentSpec
    inputs: Mapping[str, Knowledge]
    conditional: bool

    @property
    def name(self) -> str:
        """The task's name in its DAG."""
        return self.path.rpartition("/")[2]


# Of an input: its name, what the task says of it (None: nothing), its declaration, what is known of the DAG's inputs.
InputReader = Callable[
    [
        str,
        "pb.TaskInputsSpec.InputParameterSpec | None",
        "pb.ComponentInputsSpec.ParameterSpec",
        Mapping[str, Knowledge],
    ],
    Knowledge,
]


def visits(
    pipeline: Pipeline, given: Mapping[str, Knowledge], read: InputReader[Knowledge]
) -> Iterator[Visit[Knowledge]]:
    """Yields every task, groups before what is in them.

    Args:
        given: what is known of the pipeline's own parameters.
        read: says what is known of a task's input.
    """

    def walk(
        dag: str, component: pb.ComponentSpec, path: str, known: Mapping[str, Knowledge], conditional: bool
    ) -> Iterator[Visit[Knowledge]]:
        for name, task in sorted(component.dag.tasks.items()):
            inner = pipeline.component(task)
            inputs = {
                key: read(key, task.inputs.parameters.get(key), declared, known)
                for key, declared in inner.input_definitions.parameters.items()
                if key != iterated(task)
            }
            yield Visit(dag, f"{path}{name}", task, inner, inputs, conditional)
            if inner.HasField("dag"):
                deeper = conditional or bool(task.trigger_policy.condition)
                yield from walk(task.component_ref.name, inner, f"{path}{name}/", inputs, deeper)

    yield from walk(ROOT, pipeline.spec.root, "", given, conditional=False)


def iterated(task: pb.PipelineTaskSpec) -> str:
    """Returns the input that holds the item in each iteration of a loop; '' if the task is none."""
    return task.parameter_iterator.item_input or task.artifact_iterator.item_input
