import argparse
import errno
import gc
import json
import os
import signal

import pytest

from stepkit import cli
from stepkit.errors import StepError, UsageError
from stepkit.outputs import Outputs


@pytest.mark.parametrize("text", ["true", "True", " TRUE "])
def test_boolean(text):
    assert cli.boolean(text) is True
    assert cli.boolean("False") is False


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (cli.boolean, "yes"),
        (cli.integer, "1.5"),
        (cli.integer, "x"),
        (cli.integer, "inf"),
        (cli.json_array, "{}"),
        (cli.json_array, "[1"),
        (cli.json_object, "[]"),
        (cli.json_object, ""),
        (cli.json_object, '{"a": 1, "a": 1}'),
        (cli.json_array, '[{"b": {"a": 1, "a": 2}}]'),
    ],
)
def test_what_does_not_parse(parse, text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"^'"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("3.0", 3), ("-2", -2), ("1e3", 1000), ("9007199254740993", 9007199254740993)]
)
def test_integer(text, value):
    assert cli.integer(text) == value
    assert isinstance(cli.integer(text), int)


def test_json_restores_whole_numbers():
    value = cli.json_object('{"units": [64.0, 0.5], "deep": {"n": 1.0}, "flag": true, "none": null}')
    assert value == {"units": [64, 0.5], "deep": {"n": 1}, "flag": True, "none": None}
    assert isinstance(value["units"][0], int)
    assert isinstance(value["deep"]["n"], int)


def test_equal_parameters_are_one_value_in_whichever_order_a_backend_sends_them():
    texts = [
        '{"train": 4.0, "eval": {"b": [2, {"y": 1, "x": 0}], "a": 1}}',
        '{"eval": {"a": 1.0, "b": [2.0, {"x": 0, "y": 1}]}, "train": 4}',
    ]
    first, second = (json.dumps(cli.json_object(text)) for text in texts)
    assert first == second == '{"eval": {"a": 1, "b": [2, {"x": 0, "y": 1}]}, "train": 4}'
    assert json.dumps(cli.json_array('[{"b": 1, "a": 2.0}, "z", "y"]')) == '[{"a": 2, "b": 1}, "z", "y"]'


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="step")
    made.add_argument("--path")
    cli.add_executor_input(made)
    cli.add_module(made, "preprocessing_fn")
    cli.add_beam_args(made)
    return made


def test_shared_arguments():
    args = parser().parse_args(["--beam-args", '["--runner=X"]', "--module-uri", "gs://a/b.py"])
    assert (args.beam_args, args.module, args.module_uri, args.executor_input) == (
        ["--runner=X"],
        "",
        "gs://a/b.py",
        "",
    )


def test_beam_args_name_the_component_that_they_are_given_to():
    args = parser().parse_args(["--beam-args", '["--sdk_container_image=host/{component}@sha256:{x}"]'])
    assert args.beam_args == ["--sdk_container_image=host/step@sha256:{x}"]


def test_beam_args_are_strings(capsys):
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["--beam-args", '["--runner=X", 3]'])
    assert "--beam-args: it takes an array of strings; 3 isn't one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (StepError("No data. Give some."), 1, "step: error: No data. Give some.\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 1, "No space left on device (/a/b). Nothing was"),
        (FileNotFoundError("gs://a/b"), 1, "step: error: gs://a/b. Nothing was written.\n"),
        (UsageError("give --path"), 2, "step: error: give --path\n"),
    ],
)
def test_expected_ends(capsys, error, code, message):
    def step(_: argparse.Namespace) -> None:
        raise error

    assert cli.run(parser(), step, []) == code
    written = capsys.readouterr().err
    assert message in written
    assert "Traceback" not in written
    assert written.startswith("usage: step") == (code == 2)


def test_success_and_bugs(tmp_path):
    assert cli.run(parser(), lambda args: (tmp_path / args.path).touch(), ["--path", "x"]) == 0
    assert (tmp_path / "x").exists()
    with pytest.raises(ZeroDivisionError):
        cli.run(parser(), lambda args: 1 / 0, [])


def test_tensorflow_is_told_to_be_quiet_unless_the_user_wants_it(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    seen = {}
    cli.run(parser(), lambda args: seen.update(os.environ), [])
    assert (seen["TF_ENABLE_ONEDNN_OPTS"], seen["TF_CPP_MIN_LOG_LEVEL"]) == ("0", "0")


def test_sigterm_unwinds(tmp_path):
    before = signal.getsignal(signal.SIGTERM)

    def step(_: argparse.Namespace) -> None:
        with Outputs() as outputs:
            outputs.file(str(tmp_path / "x")).write_text("half", encoding="utf-8")
            os.kill(os.getpid(), signal.SIGTERM)
            outputs.file(str(tmp_path / "y")).write_text("never reached", encoding="utf-8")

    try:
        with pytest.raises(SystemExit) as ended:
            cli.run(parser(), step, [])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


def _checkable(argv, seen):
    def check(args):
        seen.append(vars(args))
        if args.depth < 1:
            raise StepError(f"--depth is {args.depth}; give 1 or more")

    def step(args):
        seen.append(vars(args))

    parser = argparse.ArgumentParser(prog="fit")
    parser.add_argument("--examples", required=True)
    parser.add_argument("--depth", type=cli.integer, default=3)
    parser.add_argument("--model", required=True)
    return cli.run(parser, step, argv, check)


@pytest.mark.parametrize("argv", [["--check", "--depth", "2"], ["--depth", "2", "--check"]])
def test_a_check_needs_no_flag_and_does_not_run_the_step(argv):
    seen = []
    assert _checkable(argv, seen) == 0
    assert seen == [{"check": True, "depth": 2, "examples": None, "model": None}]


def test_a_check_that_fails_ends_as_the_step_would(capsys):
    assert _checkable(["--check", "--depth", "0"], []) == 1
    assert capsys.readouterr().err == "fit: error: --depth is 0; give 1 or more\n"


@pytest.mark.parametrize("depth", ["2", "0"])
def test_no_garbage_is_looked_for_in_a_check_but_afterwards(depth):
    collecting = []
    parser = argparse.ArgumentParser(prog="fit")
    parser.add_argument("--depth", type=int)

    def check(args):
        collecting.append(gc.isenabled())
        if not args.depth:
            raise StepError("no depth")

    cli.run(parser, check, ["--check", "--depth", depth], check)
    assert [*collecting, gc.isenabled()] == [False, True]


def test_without_the_flag_the_step_runs_and_needs_what_it_needs():
    seen = []
    assert _checkable(["--examples", "check", "--model", "m", "--depth", "0"], seen) == 0
    assert seen == [{"check": False, "depth": 0, "examples": "check", "model": "m"}]
    with pytest.raises(SystemExit):
        _checkable(["--examples", "e"], [])
