"""What a pipeline module reads beside its step's inputs is recorded, and nothing else is."""

import json
import os
import subprocess
import sys

import pytest

from stepkit import module_reads, modules
from stepkit.errors import StepError

# A step: it loads a module, reads files and variables of its own, and calls the module.
STEP = """
import os, sys
from pathlib import Path
from stepkit import modules
Path("steps-own.txt").read_text()
os.environ.get("STEPS_OWN")
module = modules.load(Path("module.py").read_text(), "", ["fn"])
Path("steps-own.txt").read_text()
os.environ.get("STEPS_OWN")
print(modules.call(module.fn))
Path("steps-own.txt").read_text()
"""


@pytest.fixture
def reads(tmp_path):
    """Runs a step with a module; returns what is reported of it, with paths relative to its folder, and its output."""
    (tmp_path / "steps-own.txt").write_text("own")
    (tmp_path / "words.txt").write_text("a b")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/one.txt").write_text("1")
    report = tmp_path / "report.json"

    def run(source, **variables):
        (tmp_path / "module.py").write_text(source)
        env = {**os.environ, module_reads.REPORT: str(report), **variables}
        done = subprocess.run(
            [sys.executable, "-c", STEP], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(report.read_text()) if report.exists() else None
        if found:
            found["files"] = {os.path.relpath(path, tmp_path): state for path, state in found["files"].items()}
            found["folders"] = [os.path.relpath(path, tmp_path) for path in found["folders"]]
        return found, done

    return run


def test_a_module_that_reads_nothing_is_not_told_of(reads):
    found, done = reads("import json, math\ndef fn(): return json.dumps(math.pi)")
    assert found is None
    assert "pipeline module" not in done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "open('words.txt').read()",
        "open(b'words.txt', 'rb').read()",
        "__import__('pathlib').Path('words.txt').read_text()",
        "__import__('os').read(__import__('os').open('words.txt', 0), 9)",
        "__import__('json').dumps(__import__('linecache').getlines('words.txt'))",
        "list(__import__('csv').reader(open('words.txt')))",
        "__import__('tokenize').open('words.txt').read()",
    ],
)
@pytest.mark.parametrize("when", ["while it is imported", "when it is called"])
def test_files_are_recorded_however_they_are_read(reads, tmp_path, code, when):
    body = f"X = {code}\ndef fn(): pass" if when == "while it is imported" else f"def fn(): return {code}"
    found, done = reads(body)
    state = (tmp_path / "words.txt").stat()
    assert found["files"] == {"words.txt": [state.st_mtime_ns, state.st_size]}
    assert (found["folders"], found["variables"], found["declared"]) == ([], [], [])
    assert f"The pipeline module reads {tmp_path / 'words.txt'}. Runs on this machine count them" in done.stderr


def test_a_file_that_is_not_there_is_recorded_as_such(reads):
    found, _ = reads("def fn():\n  try: open('none.txt')\n  except OSError: return 1")
    assert found["files"] == {"none.txt": None}


@pytest.mark.parametrize(
    "code",
    [
        "os.environ.get('REGION')",
        "os.environ.get('REGION', 'x')",
        "os.getenv('REGION')",
        "'REGION' in os.environ",
        "os.environ.setdefault('REGION', 'x')",
        "os.path.expandvars('$REGION')",
    ],
)
@pytest.mark.parametrize("value", [{"REGION": "eu"}, {}])
def test_variables_are_recorded_however_they_are_read_and_if_they_are_absent(reads, code, value):
    if code.startswith("os.path") and not value:
        code = "os.environ.get('REGION')"
    found, _ = reads(f"import os\ndef fn(): return {code}", **value)
    assert found["variables"] == ["REGION"]
    assert found["files"] == {}


def test_all_variables_are_recorded_if_all_are_read(reads):
    found, _ = reads("import os\ndef fn(): return len(dict(os.environ))", REGION="eu")
    assert {"REGION", "PATH"} <= set(found["variables"]) and module_reads.REPORT not in found["variables"]


@pytest.mark.parametrize("code", ["os.listdir('more')", "list(os.scandir('more'))", "glob.glob('more/*.txt')"])
def test_folders_that_are_listed_are_recorded(reads, code):
    found, _ = reads(f"import glob, os\ndef fn(): return {code}")
    assert found["folders"] == ["more"]
    assert found["files"] == {}


def test_helpers_beside_the_pipeline_are_recorded_with_what_they_read(reads, tmp_path):
    (tmp_path / "more/helper.py").write_text("import os\nA = os.environ.get('REGION')\nB = open('words.txt').read()\n")
    source = "import sys\nsys.path.insert(0, 'more')\nimport helper\ndef fn(): return helper.B"
    for _ in range(2):  # the second time its bytecode is there
        found, _ = reads(source)
        assert set(found["files"]) == {"more/helper.py", "words.txt"}
        assert found["variables"] == ["REGION"]


def test_what_libraries_read_while_they_are_imported_is_not_the_modules(reads):
    found, _ = reads("import fsspec, unittest.mock, webbrowser\ndef fn(): return 1", FSSPEC_GS="{}")
    assert found is None


def test_what_the_module_wrote_itself_is_not_recorded(reads):
    found, _ = reads(
        "import tempfile\nfrom pathlib import Path\n"
        "def fn():\n  Path('own.txt').write_text('x')\n  return Path('own.txt').read_text()"
    )
    assert not found or "own.txt" not in found["files"]


def test_what_is_declared_is_recorded(reads):
    found, done = reads("READS = ['gs://acme/words.txt', '/data/*.txt', '$REGION', '${ZONE}']\ndef fn(): return 1")
    assert (found["declared"], found["variables"]) == (["gs://acme/words.txt", "/data/*.txt"], ["REGION", "ZONE"])
    assert "reads gs://acme/words.txt, /data/*.txt and the environment variables REGION, ZONE. Runs" in done.stderr


@pytest.mark.parametrize("declared", ["'words.txt'", "[1]", "['']", "{'a': 1}"])
def test_a_declaration_that_is_none_is_told(declared):
    with pytest.raises(StepError, match=r"READS isn't a list of texts. Write paths, URIs, and variables as \$NAME"):
        modules.load(f"READS = {declared}", "")


def test_the_record_is_written_when_the_process_ends_hard(reads):
    found, _ = reads("import os\ndef fn(): return os.environ.get('REGION')\nopen('words.txt')\n")
    assert set(found["files"]) == {"words.txt"} and found["variables"] == ["REGION"]


def test_without_a_place_for_the_record_it_is_told_alone(reads):
    found, done = reads("def fn(): return open('words.txt').read()", STEPKIT_READS="")
    assert found is None
    assert "The pipeline module reads " in done.stderr
