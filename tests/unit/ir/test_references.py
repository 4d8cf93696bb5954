"""Names in a compiled pipeline that stand for nothing, as kfp 2.17 writes them for plain shapes of the DSL."""

# kfp passes the paths of outputs by itself.

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Output

from pipeyard import ir
from pipeyard.errors import PipeyardError


@dsl.container_component
def say(text: str, out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="i", command=["sh", "-c", "echo", text, out])


@dsl.container_component
def write(text: str, data: Output[Dataset]):
    return dsl.ContainerSpec(image="i", command=["sh", "-c", "echo", text, data.path])


@dsl.container_component
def read(data: Input[Dataset], out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="i", command=["sh", "-c", "echo", data.path, out])


def _branches_outside_and_inside() -> Any:
    @dsl.pipeline
    def _inner(mode: str):
        with dsl.If(mode == "a"):
            say(text="inner a")
        with dsl.Else():
            say(text="inner else")

    @dsl.pipeline(name="p")
    def pipeline(mode: str = "a"):
        _inner(mode=mode)
        with dsl.If(mode == "zz"):
            say(text="outer zz")
        with dsl.Else():
            say(text="outer else")

    return pipeline


def _branches_with_one_of() -> Any:
    @dsl.pipeline
    def _pick(mode: str) -> Dataset:
        with dsl.If(mode == "a"):
            a = write(text="a")
        with dsl.Else():
            b = write(text="b")
        return dsl.OneOf(a.outputs["data"], b.outputs["data"])

    @dsl.pipeline(name="p")
    def pipeline(mode: str = "b"):
        read(data=_pick(mode=mode).output)
        with dsl.If(mode == "zz"):
            x = say(text="x")
        with dsl.Else():
            y = say(text="y")
        say(text=dsl.OneOf(x.outputs["out"], y.outputs["out"]))

    return pipeline


def _fields_of_an_item() -> Any:
    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor([{"lr": 1e-5, "n": 3}]) as item:
            say(text=f"--lr={item.lr} --n={item.n}")

    return pipeline


def _field_of_an_item_in_a_group() -> Any:
    @dsl.pipeline(name="p")
    def pipeline(mode: str = "a"):
        with dsl.ParallelFor([{"lr": 1e-5, "n": 3}]) as item, dsl.If(mode == "a"):
            say(text=f"{item.lr}")

    return pipeline


def _field_of_an_outer_item() -> Any:
    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor([{"lr": 1e-5, "n": 3}]) as item, dsl.ParallelFor([1, 2]) as number:
            say(text=f"{item.lr} {number}")

    return pipeline


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_branches_outside_and_inside, "condition-branches-1/condition-2: kfp wrote nothing into it.* mixes up groups"),
        (_branches_with_one_of, "condition-branches-1.*: kfp wrote no.* mixes up groups"),
        (_fields_of_an_item, "for-loop-2: kfp wrote no value for its input '.*-subvar-lr'.*: give the step each field"),
        (_field_of_an_item_in_a_group, "kfp wrote no value for its input '.*-subvar-lr'.*: give the step each field"),
        (_field_of_an_outer_item, "kfp wrote no value for its input '.*-subvar-lr'.*: give the step each field"),
    ],
)
def test_what_kfp_compiles_and_no_backend_runs_is_refused(
    make: Callable[[], Any], message: str, tmp_path: Path
) -> None:
    compiler.Compiler().compile(make(), str(tmp_path / "p.yaml"))
    with pytest.raises(PipeyardError, match=message):
        ir.load(tmp_path / "p.yaml")


def _if_alone_outside() -> Any:
    @dsl.pipeline
    def _inner(mode: str):
        with dsl.If(mode == "a"):
            say(text="inner a")
        with dsl.Else():
            say(text="inner else")

    @dsl.pipeline(name="p")
    def pipeline(mode: str = "a"):
        _inner(mode=mode)
        with dsl.If(mode == "zz"):
            say(text="outer zz")
        with dsl.If(mode != "zz"):
            say(text="outer else")

    return pipeline


def _each_field_an_input() -> Any:
    @dsl.container_component
    def both(lr: float, n: float):
        return dsl.ContainerSpec(image="i", command=["sh", "-c", "echo", lr, n])

    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor([{"lr": 1e-5, "n": 3}]) as item:
            both(lr=item.lr, n=item.n)

    return pipeline


@pytest.mark.parametrize("make", [_if_alone_outside, _each_field_an_input])
def test_what_the_message_advises_compiles_to_what_is_sound(make: Callable[[], Any], tmp_path: Path) -> None:
    compiler.Compiler().compile(make(), str(tmp_path / "p.yaml"))
    said = [task for each in ir.load(tmp_path / "p.yaml").spec.components.values() for task in each.dag.tasks]
    assert {"say", "say-2"} <= set(said) or "both" in said


SOUND = """
pipelineInfo: {name: p}
schemaVersion: 2.1.0
deploymentSpec: {executors: {e: {container: {image: i}}}}
components:
  comp-make: {executorLabel: e, outputDefinitions: {parameters: {n: {parameterType: STRING}}, artifacts: {d: {}}}}
  comp-use:
    executorLabel: e
    inputDefinitions: {parameters: {n: {parameterType: STRING}, m: {isOptional: true}}, artifacts: {d: {}}}
root:
  inputDefinitions: {parameters: {word: {parameterType: STRING}}}
  dag:
    outputs:
      parameters: {said: {valueFromParameter: {producerSubtask: make, outputParameterKey: n}}}
      artifacts: {made: {artifactSelectors: [{producerSubtask: make, outputArtifactKey: d}]}}
    tasks:
      make: {componentRef: {name: comp-make}}
      use:
        componentRef: {name: comp-use}
        dependentTasks: [make]
        triggerPolicy: {condition: "inputs.parameter_values['n'] == 'x'"}
        inputs:
          parameters:
            n: {taskOutputParameter: {producerTask: make, outputParameterKey: n}}
            m: {componentInputParameter: word}
            s: {runtimeValue: {constant: "a {{$.inputs.parameters['n']}}"}}
          artifacts: {d: {taskOutputArtifact: {producerTask: make, outputArtifactKey: d}}}
"""


def test_a_sound_pipeline_is_read() -> None:
    assert sorted(ir.parse(SOUND).spec.root.dag.tasks) == ["make", "use"]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("name: comp-use}", "name: comp-gone}", "use: kfp wrote no component 'comp-gone'"),
        ("comp-make: {executorLabel: e, ", "comp-make: {", "make: kfp wrote nothing into it"),
        ("comp-make: {executorLabel: e,", "comp-make: {dag: {},", "make: kfp wrote nothing into it"),
        ("{executorLabel: e, out", "{executorLabel: f, out", "make: kfp wrote no executor 'f'"),
        ("dependentTasks: [make]", "dependentTasks: [gone]", "use: it waits for 'gone'"),
        ("condition: \"inputs.parameter_values['n']", "condition: \"inputs.parameter_values['q']", "use: .* input 'q'"),
        ("{producerTask: make, outputParameterKey: n}", "{producerTask: gone, outputParameterKey: n}", "'gone.n'"),
        ("{producerTask: make, outputParameterKey: n}", "{producerTask: make, outputParameterKey: q}", "'make.q'"),
        ("{producerTask: make, outputArtifactKey: d}", "{producerTask: gone, outputArtifactKey: d}", "'gone.d'"),
        ("{producerTask: make, outputArtifactKey: d}", "{producerTask: make, outputArtifactKey: q}", "'make.q'"),
        ("componentInputParameter: word", "componentInputParameter: gone", "use: .* input 'm': it refers to 'gone'"),
        ("            n: {taskOutputParameter", "            q: {taskOutputParameter", "use: .* its input 'n'"),
        ("artifacts: {d: {taskOutput", "artifacts: {q: {taskOutput", "use: kfp wrote no value for its input 'd'"),
        ("parameters['n']}}", "parameters['q']}}", "use: .* its input 's': it refers to 'q'"),
        (
            "producerSubtask: make, outputParameterKey: n",
            "producerSubtask: gone, outputParameterKey: n",
            "output 'said'",
        ),
        ("producerSubtask: make, outputArtifactKey: d", "producerSubtask: make, outputArtifactKey: q", "output 'made'"),
    ],
)
def test_each_reference_to_nothing_names_task_and_input(right: str, wrong: str, message: str) -> None:
    assert SOUND.count(right) == 1
    text = SOUND.replace(right, wrong)
    assert yaml.safe_load(text)
    with pytest.raises(PipeyardError, match=message):
        ir.parse(text)


@pytest.mark.parametrize("text", ["it's", "a'b'c", "C:\\new", "\\", "' || '' == '", "x' && 'y' == 'y"])
def test_texts_that_kfp_writes_unescaped_into_a_condition_are_refused(tmp_path, text):
    @dsl.pipeline(name="p")
    def pipeline(mode: str = "a"):
        with dsl.If(mode == text):
            say(text="a")

    with pytest.raises(PipeyardError, match="condition-1: kfp wrote a text with a quote or a backslash into"):
        _parsed(pipeline, tmp_path)


@pytest.mark.parametrize("value", ["", 'a "b" é (int) && true', -1, 1.5e-7, True])
def test_other_constants_of_conditions_are_not(tmp_path, value):
    @dsl.pipeline(name="p")
    def pipeline(text: str = "a", whole: int = 1, number: float = 1.0, flag: bool = True):
        with dsl.If({str: text, int: whole, float: number, bool: flag}[type(value)] == value):
            say(text="a")

    assert _parsed(pipeline, tmp_path)


def _parsed(pipeline: Any, tmp_path: Path) -> ir.Pipeline:
    path = tmp_path / "pipeline.json"
    compiler.Compiler().compile(pipeline, str(path))
    return ir.parse(path.read_text())
