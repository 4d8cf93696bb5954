"""The command line: quick help, exit codes, messages."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIPEYARD = Path(sys.executable).with_name("pipeyard")


def _pipeyard(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([str(PIPEYARD), *args], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        *([each, "--help"] for each in ("run", "runs", "settings", "compile", "build", "release", "plan", "deploy")),
        ["trigger", "--help"],
        ["trigger", "event", "--help"],
        ["serve", "start", "--help"],
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(args):
    program = (
        "import sys; from pipeyard.cli import main\n"
        f"sys.argv = ['pipeyard', *{args}]\n"
        "try: main()\nexcept SystemExit as end: code = end.code\n"
        "heavy = {'kfp', 'pydantic', 'rich', 'jinja2', 'celpy', 'google.protobuf', 'google.auth', 'yaml'}\n"
        "heavy &= set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY [] 0"
    assert "Usage: pipeyard" in done.stdout


def test_wrong_usage_exits_2_and_names_near_misses():
    done = _pipeyard("rum")
    assert done.returncode == 2
    assert "Did you mean" in done.stderr
    assert "'run'" in done.stderr


def test_env_is_a_hidden_name_of_sync_that_says_so_on_stderr():
    now, before = _pipeyard("sync", "trian"), _pipeyard("env", "trian")
    assert (now.returncode, before.returncode) == (1, 1)
    assert "Did you mean 'train'?" in now.stderr
    note, rest = before.stderr.split("\n", 1)
    assert note == "`pipeyard env` is called `pipeyard sync` now; the next release drops the old name."
    assert rest == now.stderr
    commands = [line.split()[0] for line in _pipeyard("--help").stdout.partition("Commands:\n")[2].splitlines()]
    assert "sync" in commands
    assert "env" not in commands


def test_an_unknown_pipeline_names_those_there_are():
    done = _pipeyard("run", "penguin")
    assert done.returncode == 1
    assert "Did you mean 'penguins'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_parameter_typo_is_found_before_anything_runs(tmp_path):
    done = _pipeyard("run", "chicago_taxi", "--param", "epoch=3")
    assert done.returncode == 1
    assert "there is no parameter 'epoch'. Did you mean 'epochs'?" in done.stderr


def test_a_parameter_without_a_value_is_wrong_usage():
    done = _pipeyard("run", "chicago_taxi", "--param", "epochs")
    assert done.returncode == 2
    assert "--param epochs=VALUE" in done.stderr


def test_what_can_t_be_written_is_an_error_not_a_traceback():
    done = _pipeyard("compile", "flights", "--output", "/proc/none/pipeline.yaml")
    assert done.returncode == 1
    assert done.stderr.startswith("pipeyard: error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("run", "chicago-taxi"), ("compile", "flights", "--output", "/proc/none/x")])
def test_with_debug_the_traceback_comes_before_the_message(command):
    plain, debugged = _pipeyard(*command), _pipeyard("--debug", *command)
    assert (plain.returncode, debugged.returncode) == (1, 1)
    assert plain.stderr.startswith("pipeyard: error: ")
    assert debugged.stderr.startswith("Traceback (most recent call last):\n")
    assert debugged.stderr.endswith(plain.stderr)


def test_a_fault_of_ours_shows_its_traceback_without_asking():
    program = (
        "import sys; from pipeyard import cli\n"
        "def broken(*_): raise ZeroDivisionError('a fault')\n"
        "cli._Lazy.get_command = broken\n"
        "sys.argv = ['pipeyard', 'run']\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: a fault\n")


def test_outside_a_project_it_says_so(tmp_path):
    done = _pipeyard("compile", "x", cwd=tmp_path)
    assert done.returncode == 1
    assert "isn't in a Pipeyard project" in done.stderr


def test_compile_writes_what_kfp_and_vertex_read_the_same_each_time(tmp_path):
    written = []
    for folder in ("one", "two"):
        done = _pipeyard("compile", "flights", "--dev", "--output", str(tmp_path / folder))
        assert done.returncode == 0, done.stderr
        assert "which no registry has" in done.stderr
        files = sorted((tmp_path / folder / "flights").iterdir())
        assert [path.name for path in files] == ["pipeline.yaml", "vertex.json", "workflow.tar.gz"]
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]
    assert b"schemaVersion: 2.1.0" in written[0][0]


def test_compile_without_images_says_how_to_get_them(tmp_path):
    done = _pipeyard("compile", "flights", "--output", str(tmp_path))
    assert done.returncode == 1
    assert "Run `pipeyard build`; only `pipeyard compile --dev`" in done.stderr
    assert not list(tmp_path.iterdir())


def test_readmes_and_specs_agree():
    done = _pipeyard("readme")
    assert done.returncode == 0, done.stderr
