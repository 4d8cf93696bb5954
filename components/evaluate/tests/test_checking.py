"""`--check` finds before a run what the step would find after training."""

import pytest
from evaluate.cli import main
from many_tasks import step_of, write_all

from stepkit import tasks

MODULE = "TASK = {!r}\nCLASSES = {!r}\n"


@pytest.fixture(scope="module", name="shared")
def fixture_shared(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("tasks"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], ""),
        (["--metrics-config", '["R2Score"]'], ""),
        (["--metrics-config", '["R2Score"]', "--thresholds", '{"R2": {"lower": 0}}'], "the metric 'R2'"),
        (["--metrics-config", '["R2Scor"]'], "Did you mean 'R2Score'"),
        (["--metrics-config", '["AUC"]', "--thresholds", '{"AUC": {"lowr": 0}}'], "'lowr'"),
        (["--thresholds", '{"AUC": {"lower": 0.5}, "AUC_macro": {"lower": 0.5}, "R2Score": {"lower": 0}}'], ""),
        (["--thresholds", '{"AUCC": {"lower": 0.5}}'], "Did you mean 'AUC'"),
        (["--slices", "[3]"], "--slices must hold column names"),
        (
            ["--module", MODULE.format("regression", []), "--metrics-config", '["AUC"]'],
            "doesn't fit a regression model",
        ),
        (["--module", MODULE.format("regression", []), "--thresholds", '{"AUC": {}}'], "the metric 'AUC'"),
        (["--module", MODULE.format("multiclass", []), "--thresholds", '{"AUC_bee": {"lower": 0.5}}'], ""),
        (["--module", MODULE.format("multiclass", []), "--thresholds", '{"AUD": {"lower": 0.5}}'], "'AUD'"),
        (["--module", MODULE.format("multiclass", ["a", "b"]), "--thresholds", '{"AUC_c": {"lower": 0.5}}'], "'AUC_c'"),
        (["--module", MODULE.format("regresion", [])], "TASK is 'regresion'"),
        (
            ["--module", MODULE.format("regression", []), "--operating-point-target", '{"metric": "recall"}'],
            "is for binary models",
        ),
    ],
)
def test_parameters_alone(capsys, flags, words):
    assert main(["--check", *flags]) == (1 if words else 0)
    assert words in capsys.readouterr().err


def test_with_a_model_and_examples(shared, tmp_path, capsys):
    step = step_of(tmp_path, shared, tasks.MULTICLASS)
    assert main([*step.argv(), "--check"]) == 0
    assert step.nothing_written()
    assert main([*step.argv(slices=["grup"]), "--check"]) == 1
    assert "Did you mean 'group'" in capsys.readouterr().err
    assert main([*step.argv(thresholds={"AUC_be": {"lower": 0.5}}), "--check"]) == 1
    assert "'AUC_macro'" in capsys.readouterr().err
    assert main([*step.argv(), "--check", "--eval-split", "tset"]) == 1
    assert "The examples have no split 'tset'" in capsys.readouterr().err
