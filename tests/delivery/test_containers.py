"""Steps as containers, with an engine: what Cloud Build gives them, and that none is left."""

import json
import subprocess
from pathlib import Path

import pytest
from shop import PIPEYARD
from support import scratch_git

BUILD = """\
steps:
- id: write
  name: IMAGE
  env: [GREETING=$_GREETING]
  secretEnv: [OWN_TOKEN]
  volumes: [{name: shared, path: /shared}]
  script: |
    set -eu
    echo "$GREETING $(pwd) $HOME ${#OWN_TOKEN}" >written
    echo kept >/shared/file
    echo home >"$HOME/file"
- id: read
  name: IMAGE
  dir: sub
  volumes: [{name: shared, path: /shared}]
  entrypoint: sh
  args: [-c, 'cat ../written /shared/file $$HOME/file; pwd']
- id: LAST
  name: IMAGE
  timeout: LIMIT
  script: SCRIPT
timeout: 300s
substitutions: {_GREETING: hello}
availableSecrets: {secretManager: [{versionName: v, env: OWN_TOKEN}]}
"""


@pytest.fixture
def run(engine, registry, base_image, tmp_path):
    """Runs a build in containers; returns its exit code and what it told."""

    def go(last: str, script: str, limit: str = "120s"):
        root = tmp_path / "project"
        for name in ("components", "pipelines", "sub"):
            (root / name).mkdir(parents=True)
            (root / name / "README.md").touch()
        text = (
            BUILD.replace("IMAGE", f"{registry.host}/{base_image}")
            .replace("LAST", last)
            .replace("SCRIPT", script)
            .replace("LIMIT", limit)
        )
        (root / "cloudbuild.yaml").write_text(text, encoding="utf-8")
        (root / ".gitignore").write_text("/runs/\n", encoding="utf-8")
        scratch_git.git(root, "init", "--quiet")
        scratch_git.commit(root)
        command = [str(PIPEYARD), "ci", "run", "--steps=docker", "--network=host", "--json"]
        variables = {**engine.variables, "OWN_TOKEN": "hush"}
        done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return done.returncode, {each["name"]: each for each in json.loads(done.stdout)["steps"]}

    yield go
    assert engine.docker("ps", "--all", "--quiet") == ""


def _log(step: dict) -> str:
    return Path(step["log"]).read_text(encoding="utf-8")


def test_they_share_workspace_home_and_volumes_and_get_values_and_secrets(run):
    code, steps = run("last", "ls")
    assert {name: each["status"] for name, each in steps.items()} == dict.fromkeys(("write", "read", "last"), "SUCCESS")
    assert code == 0
    assert _log(steps["read"]) == "hello /workspace /builder/home 4\nkept\nhome\n/workspace/sub\n"
    assert "written" in _log(steps["last"])


def test_a_failing_one_tells_its_exit_code(run):
    code, steps = run("fails", "'exit 7'")
    assert (code, steps["fails"]["status"], steps["fails"]["code"]) == (1, "FAILURE", 7)


def test_one_that_takes_too_long_is_stopped_and_removed(run):
    code, steps = run("hangs", "sleep 600", "2s")
    assert (code, steps["hangs"]["status"]) == (1, "TIMEOUT")
    assert steps["hangs"]["seconds"] < 60
