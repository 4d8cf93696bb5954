import inspect
import subprocess
import sys
import tempfile

import pytest

from stepkit import modules
from stepkit.errors import StepError, UsageError

SOURCE = """
LIMIT = 3

def scale(x, by=LIMIT):
    return x * by

def fail(x):
    y = x + 1
    raise ValueError(f"bad {y}")
"""


def test_source():
    module = modules.load(SOURCE, "", ["scale"])
    assert module.scale(2) == 6
    assert "return x * by" in inspect.getsource(module.scale)
    assert modules.call(module.scale, 2, by=5) == 10


def test_uri(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    assert modules.load("", str(path)).scale(1) == 3
    assert modules.load("", f"file://{path}").LIMIT == 3


@pytest.mark.parametrize(("source", "uri"), [("", ""), ("x = 1", "module.py")])
def test_exactly_one_is_needed(source, uri):
    with pytest.raises(UsageError, match="exactly one of --module and --module-uri"):
        modules.load(source, uri)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:\n  pass", r"has a syntax error in line 1: .*'def f\(:'\. Correct it"),
        ("x = 1\nimport nosuchmodule", "failed while it was imported: ModuleNotFoundError in line 2: No module named"),
        ("import sys\nsys.exit(0)", "failed while it was imported: SystemExit in line 2: 0"),
        (SOURCE, "defines no function 'scael'. Did you mean 'scale'?"),
        ("scael = 3", "defines no function 'scael'. There are none."),
    ],
)
def test_bad_modules(source, message):
    with pytest.raises(StepError, match=f"The pipeline module given by --module .*{message}"):
        modules.load(source, "", ["scael"])


def test_a_bad_module_is_named_by_its_uri(tmp_path):
    (tmp_path / "module.py").write_text("def f(:")
    with pytest.raises(StepError, match=f"The pipeline module {tmp_path}/module.py has a syntax error"):
        modules.load("", str(tmp_path / "module.py"))
    with pytest.raises(StepError, match="No pipeline module at"):
        modules.load("", str(tmp_path / "nope.py"))


def test_a_function_that_raises():
    module = modules.load(SOURCE, "")
    with pytest.raises(StepError, match=r"The pipeline module's fail raised: ValueError in line 9: bad 2\."):
        modules.call(module.fail, 1)


def test_a_step_error_passes():
    def refuse() -> None:
        raise StepError("as it is")

    with pytest.raises(StepError, match="^as it is$"):
        modules.call(refuse)


def test_no_folder_is_left_behind(tmp_path):
    script = "from stepkit import modules; print(modules.load('x = 1', '').__file__)"
    ended = subprocess.run(
        [sys.executable, "-c", script], env={"TMPDIR": str(tmp_path)}, check=True, capture_output=True, text=True
    )
    assert ended.stdout.startswith(str(tmp_path))
    assert tempfile.gettempdir() != str(tmp_path)
    assert not list(tmp_path.iterdir())
