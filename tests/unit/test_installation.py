"""The toolchain installed as one elsewhere would: by git, into an environment that has nothing of this checkout."""

import email
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import scratch_git

from pipeyard.repository import venvs
from pipeyard.repository.project import Project

ROOT = Path(__file__).parents[2]
BUILT_OF = ("build/pipeyard", "libs", "pyproject.toml", "README.md", "LICENSE")


def _run(*command: object) -> str:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The Python of an environment that the toolchain was installed into, in the versions of the lock."""
    folder = tmp_path_factory.mktemp("installed")
    repository = folder / "pipeyard"
    left_out = shutil.ignore_patterns(".venv", "__pycache__", ".*_cache")
    for name in BUILT_OF:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, repository / name, ignore=left_out)
        else:
            shutil.copyfile(source, repository / name)
    scratch_git.git(repository, "init", "--quiet")
    scratch_git.commit(repository)
    uv = venvs.uv(Project(ROOT))
    versions, python = folder / "constraints.txt", folder / "venv/bin/python"
    export = ("--quiet", "--frozen", "--no-dev", "--no-hashes", "--no-emit-project", "--no-header")
    _run(uv, "export", *export, "--project", ROOT, "--output-file", versions)
    _run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, folder / "venv")
    address = f"pipeyard @ git+{repository.as_uri()}"
    _run(uv, "pip", "install", "--quiet", "--python", python, "--constraint", versions, address)
    return python


def test_it_runs_and_has_one_component_store(installed):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in _run(installed.with_name("pipeyard"), "--version")
    same = "import pipeyard.component_store as a, pipeyard_components as b; print(a.ComponentStore is b.ComponentStore)"
    assert _run(installed, "-Ic", same).strip() == "True"
    everything = (
        "import pipeyard.compiling.compiler, pipeyard.local.runner, pipeyard.releases.publication, stepkit.uris"
    )
    _run(installed, "-Ic", everything)


def test_its_metadata_names_what_an_index_has(installed):
    ours = {tomllib.loads(path.read_text())["project"]["name"] for path in ROOT.glob("libs/*/pyproject.toml")}
    assert {"stepkit", "pipeyard-components"} <= ours
    (metadata,) = installed.parents[1].glob("lib/*/site-packages/pipeyard-*.dist-info/METADATA")
    required = {
        re.match(r"[\w.-]+", each)[0]
        for each in email.message_from_string(metadata.read_text()).get_all("Requires-Dist")
    }
    assert "kfp" in required
    assert not required & ours
