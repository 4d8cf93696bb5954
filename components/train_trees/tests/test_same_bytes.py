"""The same data, module and seed give the same bytes, whatever process trains."""

import shutil

from conftest import Step

from stepkit import testing


def test_the_same_inputs_give_the_same_bytes(examples, graph, tmp_path):
    shutil.copytree(examples, tmp_path / "inputs" / "examples")
    shutil.copytree(graph, tmp_path / "inputs" / "graph")

    def arguments(given, out):
        return Step(given / "examples", given / "graph", out).argv(tune_trials=2, rounds=6)

    first, second = testing.run_in_unlike_places("train_trees", tmp_path / "inputs", arguments, tmp_path)
    assert {
        "model/saved_model.pb",
        "model/fingerprint.pb",
        "tensorboard_logs/validation/events.out.tfevents.1.v2",
        "report.html",
    } < set(first)
    assert first == second
