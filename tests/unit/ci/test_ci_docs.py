"""docs/ci.md: its commands, as they stand there, in a project whose steps note what they are called with."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.scratch_git import commit, git

ROOT = Path(__file__).parents[3]
PIPEYARD = Path(sys.executable).with_name("pipeyard")
PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
# What setup makes, in place of the toolchain: `ci` is the real one, all else is noted.
_NOTES = """\
#!/bin/sh
[ "$1" = ci ] && exec {pipeyard} "$@"
echo "$@" >>{notes}
"""
_MAKEFILE = """\
setup:
	@mkdir -p .venv/bin && cp $(STAND_IN) .venv/bin/pipeyard
unit lint:
	@echo "make $@" >>$(NOTES)
"""
_SETTINGS = """\
variables: {KFP_DEV_HOST: a, KFP_TEST_HOST: b, PIPELINE_BUCKET: c, IMAGE_REGISTRY: d, MLFLOW_URL: e}
environments:
  test: &place
    target: kfp
    host: ${KFP_TEST_HOST}
    registry: ${IMAGE_REGISTRY}
    bucket: gs://${PIPELINE_BUCKET}/packages
    pipeline_root: gs://${PIPELINE_BUCKET}/runs
    parameters: {registry_uri: "${MLFLOW_URL}"}
  dev: {<<: *place, host: "${KFP_DEV_HOST}"}
"""
_PIPELINE = """\
from kfp import dsl


@dsl.container_component
def _one(text: str):
    return dsl.ContainerSpec(image="one:dev", command=["true"], args=[text])


@dsl.pipeline
def chicago_taxi(registry_uri: str):
    _one(text=registry_uri)
"""


def _commands() -> list[list[str]]:
    """Returns the page's commands of Pipeyard's, but for those that need an engine or another machine."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words[1:] for words in lines if words[0] == ".venv/bin/pipeyard" and "docker" not in words]


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    files = {
        "Makefile": _MAKEFILE,
        ".gitignore": "/runs/\n.venv\n__pycache__/\n",
        "settings.yaml": _SETTINGS,
        "build/ci-source": (ROOT / "build/ci-source").read_text(encoding="utf-8"),
        "build/ci-packages": "#!/bin/sh\n",  # nothing is installed for a test
        "components/one/component.yaml": "name: one\n",
        "components/one/Dockerfile": "FROM scratch\n",
        "components/one/pyproject.toml": "",
        "pipelines/chicago_taxi/pipeline.py": _PIPELINE,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for name in ("build/ci-source", "build/ci-packages"):
        (root / name).chmod(0o755)
    stand_in = tmp_path / "stand-in"
    stand_in.write_text(_NOTES.format(pipeyard=PIPEYARD, notes=tmp_path / "notes"), encoding="utf-8")
    stand_in.chmod(0o755)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    return root


def test_commands_do_what_they_are_there_for(project, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN", str(tmp_path / "stand-in"))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    notes, told = {}, {}
    begun = False
    for words in _commands():
        if words[1] == "run" and not begun:  # by then all is rendered: it is committed, and a branch begun
            begun = True
            commit(project)
            git(project, "checkout", "--quiet", "-b", "my-branch")
            (project / "components/one/new").touch()
            commit(project)
        done = subprocess.run([PIPEYARD, *words], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)
        told[" ".join(words)] = done.stdout + done.stderr
        path = tmp_path / "notes"
        noted = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        notes.setdefault(" ".join(words), noted)  # the page has one command twice, and no tree is linted twice
        path.unlink(missing_ok=True)
    assert "wrote cloudbuild.yaml" in told["ci cloudbuild"]
    assert "Nothing to mend." in told["ci lint"]
    starts = told["ci starts --since main --branch my-branch"]
    assert re.search(r"^development +starts ", starts, re.MULTILINE)
    assert re.search(r"^main +- ", starts, re.MULTILINE)
    branch = notes["ci run --trigger development --ref my-branch"]
    assert sorted(branch) == ["check --advisories", "compile --dev", "make lint", "make unit"]
    by_hand = next(lines for words, lines in notes.items() if "_ENVIRONMENT=dev" in words)
    assert by_hand[-3:] == ["upload --env dev", "deploy --env dev", "run chicago_taxi --env dev --wait"]
    from_main = next(lines for words, lines in notes.items() if words.startswith("ci run --trigger main"))
    side_by_side = {"make unit", "check --advisories", "build --env test --until build"}
    assert set(from_main[:3]) == side_by_side  # the branch's tree was linted
    assert from_main[3:] == [
        "build --env test --until push --no-tests",
        "build --env test",
        "compile",
        "upload --env test",
        "deploy --env test",
    ]
