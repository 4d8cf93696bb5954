import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import processes
import pytest
from conftest import MODULE, Step, equal
from train import cli, fitting

from stepkit import code, digest, modules
from trainkit import checkpoints

# Keras resets the metrics before each epoch and before each validation: the module kills its process at the given one.
# It reads when to do so after the run has its name, which depends on what the module has read by then.
SUICIDAL = (
    MODULE.replace(
        "    return model\n",
        """
    reset = model.reset_metrics
    def reset_metrics():
        global resets
        resets += 1
        if resets == int(os.environ.get("TEST_KILL_AT_RESET", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("TEST_KILL_AFTER_SAVE"):
            tf.saved_model.save = save_and_die
        reset()
    model.reset_metrics = reset_metrics
    return model
""",
    )
    + """
import os
import signal
import tensorflow as tf

resets = 0
save = tf.saved_model.save

def save_and_die(*args, **kwargs):
    save(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
"""
)


def killed(step: Step, env: dict[str, str], **flags: object) -> None:
    """Runs the step in a process of its own, which kills itself; checks that no output can be seen."""
    process = processes.start(step.argv(SUICIDAL, **flags), env)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert [name for name in step.written() if not name.startswith(".") and name != "model.checkpoints"] == []


def test_killed_run_resumes_with_the_same_result(step, tmp_path, capfd):
    flags = {"epochs": 9, "early_stopping_patience": 2, "hyperparameters": '{"learning_rate": 0.3}'}
    assert step.run(SUICIDAL, **flags) == 0
    metrics, written = step.metrics(), digest.of_tree(step.out)
    assert metrics["stopped_early"] and metrics["best_epoch"] == 1  # so that early stopping's state matters below

    step.out = tmp_path / "killed"
    killed(step, {"TEST_KILL_AT_RESET": "6"}, **flags)  # the trial has one, epochs 1 and 2 have two each
    assert len(list((step.out / "model.checkpoints").iterdir())) == 1
    capfd.readouterr()
    assert step.run(SUICIDAL, **flags) == 0
    said = capfd.readouterr().out
    assert "Resuming after epoch 2" in said and "epoch 3/9" in said and "epoch 2/9" not in said
    assert digest.of_tree(step.out) == written  # every byte of every output


def test_run_killed_while_it_writes_outputs_trains_no_epoch_again(step, tmp_path, capfd):
    kept = tmp_path / "kept"
    killed(step, {"TEST_KILL_AFTER_SAVE": "1"}, checkpoint_uri=kept)
    (checkpoint,) = kept.iterdir()

    capfd.readouterr()
    assert step.run(SUICIDAL, checkpoint_uri=kept, hyperparameters='{"units": 4}') == 0
    assert "Resuming" not in capfd.readouterr().out  # it is another run's
    assert list(kept.iterdir()) == [checkpoint]

    assert step.run(SUICIDAL, checkpoint_uri=kept) == 0
    said = capfd.readouterr().out
    assert "Resuming after epoch 3" in said and "epoch 3/3" not in said
    assert step.metrics()["epochs"] == 3
    assert not checkpoint.exists()


def test_killed_search_resumes_with_the_same_result(step, tmp_path, capfd):
    flags = {"epochs": 2, "tune_trials": 2, "tune_algorithm": "random", "early_stopping_patience": 0}
    assert step.run(SUICIDAL, **flags) == 0
    written = digest.of_tree(step.out)

    step.out = tmp_path / "killed"
    killed(step, {"TEST_KILL_AT_RESET": "7"}, **flags)  # in the second trial's second epoch
    capfd.readouterr()
    assert step.run(SUICIDAL, **flags) == 0
    said = capfd.readouterr().out
    assert "trial 1/2" not in said and "trial 2/2" in said
    assert digest.of_tree(step.out) == written


def test_fingerprint_depends_on_every_part():
    parts = {"seed": 1, "hyperparameters": {"units": 8}, "module": "abc"}
    names = {checkpoints.fingerprint(**{**parts, **change}) for change in ({}, {"seed": 2}, {"module": "abd"})}
    assert len(names) == 3
    assert checkpoints.fingerprint(**parts) == checkpoints.fingerprint(**dict(reversed(parts.items())))


OTHER_VALUES = {"hyperparameters": '{"units": 8}', "tune_algorithm": "random"}


def test_another_value_of_any_flag_is_another_run(step, run_name):
    """Also of those that come to be, unless they are declared to be places."""
    names = {run_name(step.argv())}
    deciding = {action.dest for action in cli.build_parser()._actions} - checkpoints.PLACES - {"help"}
    for flag in deciding:
        names.add(run_name(step.argv(**{flag: OTHER_VALUES.get(flag, "17")})))
    assert len(names) == 1 + len(deciding) == 11


def test_places_make_no_other_run(step, run_name, tmp_path):
    (tmp_path / "module.py").write_text(MODULE, encoding="utf-8")
    elsewhere = {flag: "elsewhere" for flag in checkpoints.PLACES if not flag.startswith(("module", "trans"))}
    here = run_name(step.argv())
    assert run_name(step.argv(**elsewhere)) == here
    assert run_name(step.argv("", module_uri=tmp_path / "module.py")) == here
    copies = {"transformed_examples": step.examples, "transform_graph": step.graph}
    for name, source in copies.items():
        shutil.copytree(source, tmp_path / name)
    assert run_name(step.argv(**{name: tmp_path / name for name in copies})) == here


def test_what_the_module_reads_counts_by_its_content(step, run_name, tmp_path, monkeypatch):
    """Where it is doesn't count: a copy of remote inputs is elsewhere each time."""
    module = MODULE + "\nimport os\nREAD = [open(os.environ['WORDS']).read(), os.environ.get('REGION')]\n"
    names = []
    for words, region in (("a", None), ("b", None), ("b", "eu")):
        for folder in ("one", "two") if region is None else ("one",):
            path = tmp_path / folder / words
            path.parent.mkdir(exist_ok=True)
            path.write_text(words)
            monkeypatch.setenv("WORDS", str(path))
            if region:
                monkeypatch.setenv("REGION", region)
            names.append(run_name(step.argv(module)))
    assert len(set(names)) == len(names)  # the variable counts, too
    monkeypatch.setenv("WORDS", "/".join([str(tmp_path), "one", "b"]))
    assert run_name(step.argv(module)) == names[-1]
    assert run_name(step.argv(module), workers=2) == run_name(step.argv(module), workers=2)


def test_other_contents_are_another_run(step, run_name, tmp_path, monkeypatch):
    names = [run_name(step.argv()), run_name(step.argv(MODULE + "\n")), run_name(step.argv(), workers=2)]
    for flag, source, file in (
        ("transformed_examples", step.examples, "manifest.json"),
        ("transform_graph", step.graph, "transform_fn/assets/company"),
    ):
        changed = shutil.copytree(source, tmp_path / flag) / file
        changed.write_bytes(changed.read_bytes() + b" ")
        names.append(run_name(step.argv(**{flag: tmp_path / flag})))
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    names.append(run_name(step.argv()))
    asked = []
    monkeypatch.setattr(code, "fingerprint", lambda *packages: asked.append(packages) or "other code")
    names.append(run_name(step.argv()))
    assert asked == [("train", "trainkit", "stepkit")]
    assert len(set(names)) == len(names) == 7


@pytest.fixture(name="run_name")
def _run_name():
    """Returns the name of the run of a command line."""

    def run_name(argv: list[str], workers: int = 1) -> str:
        args = cli.build_parser().parse_args(argv)
        module = modules.load(args.module, args.module_uri)
        hyperparameters = {**module.DEFAULT_HYPERPARAMETERS, **args.hyperparameters}
        folders = Path(args.transformed_examples), Path(args.transform_graph)
        return checkpoints.name_of_run(args, module, hyperparameters, *folders, "train", workers)

    return run_name


def test_damaged_state_is_not_used():
    state = fitting.State([{"loss": 0.1 + 0.2}], 0, False, [np.arange(3.0)], [np.ones(2)])
    packed = state.pack()
    restored = fitting.State.unpack(packed)
    assert restored.history == state.history and equal(restored.variables, state.variables)
    assert fitting.State.unpack(packed[: len(packed) // 2]) is None
    assert fitting.State.unpack(b"") is None


@pytest.mark.parametrize("remote", [False, True])
def test_checkpoints_local_and_remote(tmp_path, remote):
    folder = "memory://checkpoints" if remote else str(tmp_path / "checkpoints")
    mine, other = (
        checkpoints.Checkpoints(folder, "a", private=False),
        checkpoints.Checkpoints(folder, "b", private=False),
    )
    assert mine.load("x") is None
    mine.save("x", b"1")
    mine.save("x", b"2")
    other.save("x", b"3")
    assert (mine.load("x"), other.load("x")) == (b"2", b"3")
    mine.discard("x", "never saved")
    assert (mine.load("x"), other.load("x")) == (None, b"3")


def test_full_disk_while_saving_a_checkpoint(tmp_path, monkeypatch, fails):
    def write_bytes(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    message = fails(checkpoint_uri=tmp_path / "kept")
    assert "No space left on device" in message and "kept" in message
    assert not list((tmp_path / "kept").iterdir())


def test_full_disk_while_writing_outputs(step, tmp_path, fails):
    """A real one: a file system too small for the model."""
    step.out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(step.out)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        message = fails(checkpoint_uri=tmp_path / "kept")
        assert "No space left on device" in message
        assert len(list((tmp_path / "kept").iterdir())) == 1  # with room made, the next run need not train again
    finally:
        subprocess.run(["umount", str(step.out)], check=True)
