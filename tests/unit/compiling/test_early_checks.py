"""What is shipped has tasks that check what a later step will be given, before a model is trained."""

import pytest
import yaml
from servers import driver
from support.compiled_pipelines import compiled

from pipeyard import ir

MAKE = """
inputs: [{name: data, type: Dataset, optional: true}]
outputs: [{name: made, type: Dataset}, {name: rows, type: Integer}]
implementation: {container: {image: i, command: [make], args: [{outputPath: made}, {outputPath: rows}]}}
"""
TRAIN = """
inputs: [{name: data, type: Dataset}]
outputs: [{name: model, type: Model}, {name: steps, type: Integer}]
implementation:
  container: {image: i, command: [train], args: [{inputPath: data}, {outputPath: model}, {outputPath: steps}]}
"""
JUDGE = """
metadata:
  annotations:
    pipeyard.dev/check: '["--check"]'
    pipeyard.dev/check-task: '{"before": ["model"], "given": ["the data"]}'
inputs:
- {name: the data, type: Dataset}
- {name: other, type: Dataset}
- {name: model, type: Model}
- {name: bound, type: Float, default: '0.5', optional: true}
- {name: rows, type: Integer, default: '0', optional: true}
outputs: [{name: good, type: Boolean}]
implementation:
  container:
    image: i
    command: [judge]
    args: [--data, {inputPath: the data}, --other, {inputPath: other}, --model, {inputPath: model},
      --bound, {inputValue: bound}, --rows, {inputValue: rows}, --good, {outputPath: good}, --all, '{{$}}']
"""
COMPONENTS = {"make": MAKE, "train": TRAIN, "judge": JUDGE}
BODY = """
@dsl.pipeline
def p(bound: float = 0.7):
    data = make()
    with dsl.If(data.outputs['rows'] > 1):
        other = make(data=data.outputs['made'])
        model = train(data=other.outputs['made'])
        judge(the_data=data.outputs['made'], other=other.outputs['made'], model=model.outputs['model'],
            bound=bound, rows={rows}){more}
"""


def _shipped(folder, rows="1", more=""):
    made = compiled(folder, COMPONENTS, BODY.format(rows=rows, more=more))
    assert "check-judge" not in made.text  # here, programs are asked before the run
    ir.parse(made.shipped())
    return made


def _tasks(text):
    return yaml.safe_load(text)["components"]["comp-condition-1"]["dag"]["tasks"]


def test_the_check_is_asked_with_what_is_known_and_training_waits_for_it(tmp_path):
    text = _shipped(tmp_path).shipped()
    tasks = _tasks(text)
    assert tasks["train"]["dependentTasks"] == ["check-judge", "make-2"]
    assert "dependentTasks" not in tasks["check-judge"]
    assert tasks["check-judge"]["cachingOptions"] == {}
    command = driver.commands(text, {"bound": 0.25})["condition-1/check-judge"]
    assert command[:2] == ["judge", "--data"]
    assert command[3:] == ["--bound", "0.25", "--rows", "1", "--check"]


@pytest.mark.parametrize(("rows", "told"), [("model.outputs['steps']", False), ("other.outputs['rows']", True)])
def test_parameters_that_are_made_with_the_model_are_not_waited_for(tmp_path, rows, told):
    tasks = _tasks(_shipped(tmp_path, rows).shipped())
    assert tasks["check-judge"].get("dependentTasks") == (["make-2"] if told else None)
    assert ("rows" in tasks["check-judge"]["inputs"]["parameters"]) == told


def test_a_check_has_the_retries_of_its_step(tmp_path):
    tasks = _tasks(_shipped(tmp_path, more=".set_retry(2)").shipped())
    assert tasks["check-judge"]["retryPolicy"] == tasks["judge"]["retryPolicy"]
    assert tasks["check-judge"]["taskInfo"] == {"name": "check-judge"}


def test_what_needs_no_model_of_its_group_has_no_check(tmp_path):
    body = """
@dsl.pipeline
def p():
    data = make()
    model = train(data=data.outputs['made'])
    with dsl.If(data.outputs['rows'] > 1):
        judge(the_data=data.outputs['made'], other=data.outputs['made'], model=model.outputs['model'])
"""
    made = compiled(tmp_path, COMPONENTS, body)
    assert made.shipped() == made.text
