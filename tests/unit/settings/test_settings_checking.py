"""An environment's parameters against a compiled pipeline's inputs, before anything is contacted."""

from pathlib import Path

import pytest

from pipeyard import ir, settings
from pipeyard.errors import PipeyardError
from pipeyard.ir.protobuf import pb
from pipeyard.settings import fit

TEXT = """\
environments:
  dev:
    target: local
    pipeline_root: runs
    parameters:
      source: gs://data
      unrelated: 1
    pipelines:
      taxi:
        parameters:
          epochs: 3
"""
T = pb.ParameterType
KINDS = {
    "source": T.STRING,
    "epochs": T.NUMBER_INTEGER,
    "rate": T.NUMBER_DOUBLE,
    "tune": T.BOOLEAN,
    "columns": T.LIST,
    "thresholds": T.STRUCT,
}


def _inputs(required=("source", "epochs")) -> pb.ComponentInputsSpec:
    inputs = pb.ComponentInputsSpec()
    for name, kind in KINDS.items():
        inputs.parameters[name].parameter_type = kind
        if name not in required:
            inputs.parameters[name].is_optional = True
    return inputs


def _dev(tmp_path: Path, text: str = TEXT) -> settings.Environment:
    (tmp_path / settings.FILE).write_text(text, encoding="utf-8")
    return settings.load(tmp_path, {}).environment("dev")


def _refusal(environment: settings.Environment, **options) -> str:
    with pytest.raises(PipeyardError) as error:
        fit.check(environment, "taxi", _inputs(), **options)
    return str(error.value)


def test_parameters_that_fit_are_returned_with_their_types(tmp_path):
    text = TEXT.replace("epochs: 3", "epochs: 3.0\n          rate: 1\n          columns: [a]\n          tune: true")
    found = fit.check(_dev(tmp_path, text), "taxi", _inputs())
    assert found == {"source": "gs://data", "epochs": 3, "rate": 1.0, "columns": ["a"], "tune": True}
    assert [type(found[name]) for name in ("epochs", "rate")] == [int, float]


def test_a_parameter_that_the_pipeline_does_not_have_is_told_with_its_line_and_near_misses(tmp_path):
    told = _refusal(_dev(tmp_path, TEXT.replace("epochs", "epoch")))
    assert "settings.yaml:11: the pipeline has no parameter 'epoch'. Did you mean 'epochs'?" in told
    assert (
        "settings.yaml:10: the parameter 'epochs' has no value, and no default. "
        "Set it under environments.dev.pipelines.taxi.parameters."
    ) in told


def test_a_typo_among_the_parameters_for_every_pipeline_is_told_with_its_line(tmp_path):
    told = _refusal(_dev(tmp_path, TEXT.replace("source:", "sourc:")))
    assert "the parameter 'source' has no value" in told
    assert "Is 'sourc' in settings.yaml:6 meant for it?" in told


def test_a_parameter_for_every_pipeline_that_none_has_is_told_with_its_line(tmp_path):
    spec = pb.PipelineSpec()
    spec.root.input_definitions.CopyFrom(_inputs())
    assert fit.unused(_dev(tmp_path), {"taxi": ir.Pipeline(spec, "", {})})[0].startswith(
        "settings.yaml:7: no pipeline has a parameter 'unrelated'. "
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("epochs: 3.5", "'epochs' is the number 3.5. Write a whole number, such as 3."),
        ("epochs: many", "'epochs' is text. Write a whole number"),
        ("epochs: true", "'epochs' is the truth value true. Write a whole number"),
        ("epochs: null", "'epochs' is null. Write a whole number"),
        ("epochs: 3\n          rate: [1]", "'rate' is a list. Write a number, such as 0.5."),
        ("epochs: 3\n          tune: 1", "'tune' is the number 1. Write true or false."),
        ("epochs: 3\n          columns: a", "'columns' is text. Write a list, such as [a, b]."),
        ("epochs: 3\n          thresholds: [1]", "'thresholds' is a list. Write a mapping, such as {AUC: 0.7}."),
        ("epochs: 3\n          source: 1.10", "'source' is the number 1.1. Write text; put it in quotes."),
    ],
)
def test_a_value_of_the_wrong_type_is_told_with_its_line(tmp_path, value, problem):
    told = _refusal(_dev(tmp_path, TEXT.replace("epochs: 3", value)))
    line = 11 if value.startswith(("epochs: 3.5", "epochs: m", "epochs: t", "epochs: n")) else 12
    assert f"settings.yaml:{line}: the parameter {problem}" in told


def test_null_leaves_an_optional_parameter_to_the_pipeline(tmp_path):
    text = TEXT.replace("epochs: 3", "epochs: 3\n          rate: null")
    assert "rate" not in fit.check(_dev(tmp_path, text), "taxi", _inputs())


def test_what_is_given_on_top_counts_and_is_told_as_such(tmp_path):
    dev = _dev(tmp_path, TEXT.replace("epochs: 3", "epochs: many"))
    assert fit.check(dev, "taxi", _inputs(), given={"epochs": "4"})["epochs"] == 4
    told = _refusal(dev, given={"epochs": "4", "soruce": "x"})
    assert "--param soruce: the pipeline has no parameter 'soruce'. Did you mean 'source'?" in told


def test_what_is_wrong_is_told_at_once(tmp_path):
    told = _refusal(
        _dev(tmp_path, TEXT.replace("epochs: 3", "epoch: 3\n          rate: fast").replace("source", "other"))
    )
    assert len(told.splitlines()) == 5
    assert told.startswith("Parameters of taxi in the environment 'dev' don't fit the pipeline:")


def test_an_environment_that_is_from_no_file_is_checked_too():
    made = settings.Environment(name="dev", target="local", pipeline_root="r", parameters={"source": "s"})
    assert "settings.yaml: the parameter 'epochs' has no value" in _refusal(made)


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ("sourc", "sets 'sourc', which the pipeline hasn't. Did you mean 'source'?"),
        ("epochs", "sets 'epochs' to a URI, and that isn't text. Name a parameter that is: source."),
    ],
)
def test_a_trigger_that_sets_what_takes_no_uri_is_told_with_its_line(tmp_path, parameter, problem):
    trigger = f"        triggers: [{{name: new, kind: event, bucket: data, parameter: {parameter}}}]\n"
    assert f"settings.yaml:12: the trigger 'new' {problem}" in _refusal(_dev(tmp_path, TEXT + trigger))
