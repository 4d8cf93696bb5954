import json

import pytest
from conftest import MODULE
from train.cluster import Cluster


@pytest.mark.parametrize("algorithm", ["bayesian", "hyperband"])
def test_search_gives_the_hyperparameters_the_model_is_built_with(step, capfd, algorithm):
    assert step.run(tune_trials=3, tune_algorithm=algorithm, epochs=2, early_stopping_patience=0) == 0
    said = capfd.readouterr().out
    best = json.loads((step.out / "best_hyperparameters").read_text())
    assert best["units"] in (2, 4, 8, 16) and 1e-3 <= best["learning_rate"] <= 1e-1
    trials = [line for line in said.splitlines() if line.startswith("trial ")]
    assert len(trials) == 3
    losses = [float(line.split("val_loss ")[1].split()[0]) for line in trials]
    if algorithm != "hyperband":  # its trials may have had fewer epochs
        assert step.metrics()["best"]["val_loss"] == pytest.approx(min(losses), abs=1e-4)
    html = (step.out / "report.html").read_text()
    assert "<h2>Tuning</h2>" in html and html.count("completed") == 3


def test_given_hyperparameters_are_not_tuned(step):
    assert step.run(tune_trials=1, tune_algorithm="random", hyperparameters='{"units": 5}', epochs=1) == 0
    assert json.loads((step.out / "best_hyperparameters").read_text())["units"] == 5


def test_diverged_trials_lose(step, capfd):
    mixed = MODULE.replace('hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")', 'hp.Choice("rate", [0.01, 1e38])')
    mixed = mixed.replace('hp.Choice("units", [2, 4, 8, 16])', "8").replace("Adam(", "SGD(")
    assert step.run(mixed, tune_trials=2, tune_algorithm="random", epochs=1) == 0
    assert json.loads((step.out / "best_hyperparameters").read_text())["learning_rate"] == 0.01
    assert "diverged" in capfd.readouterr().out
    assert "diverged" in (step.out / "report.html").read_text()


def test_no_trial_ends_well(fails):
    hot = MODULE.replace('hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")', "1e38").replace("Adam(", "SGD(")
    message = fails(hot, tune_trials=2, tune_algorithm="random", epochs=1)
    assert "None of 2 tuning trials ended with a finite loss" in message and "lower learning rates" in message


def test_module_without_space(fails):
    message = fails(MODULE.replace("def hyperparameter_space", "def hyperparameters_space"), tune_trials=1)
    assert "defines no function 'hyperparameter_space'" in message
    assert "Did you mean 'hyperparameters_space'?" in message


def test_space_with_an_unknown_hyperparameter(fails):
    message = fails(MODULE.replace('{"units": hp', '{"unit": hp'), tune_trials=1)
    assert "Hyperparameter 'unit' (from hyperparameter_space)" in message and "Did you mean 'units'?" in message


def test_space_that_is_no_dict(fails):
    message = fails(MODULE.replace("    rate = hp", "    return 3\n    rate = hp"), tune_trials=1)
    assert "hyperparameter_space returned 3" in message


def test_space_that_raises(fails):
    message = fails(MODULE.replace('hp.Choice("units", [2, 4, 8, 16])', "1 / 0"), tune_trials=1)
    assert "hyperparameter_space raised: ZeroDivisionError in line" in message


def test_tuning_on_several_workers(fails, monkeypatch):
    monkeypatch.setattr("train.cluster.join", lambda: Cluster(workers=2))
    assert "Tuning runs on one worker" in fails(tune_trials=1)
