"""What another team does: installs the client by git or from a wheel, and compiles a pipeline of a release."""

import email
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import tomllib

from pipeyard_components import layout

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "libs/component_client"
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".tools/bin/uv")
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
# Nobody's on this machine that a Python of uv's own or a user's configuration could change.
ENVIRONMENT = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}

SPEC = b"""\
name: echo
inputs:
- {name: text, type: String}
implementation:
  container:
    image: busybox:1
    command: [echo]
    args: [{inputValue: text}]
"""

PIPELINE = """
import importlib.metadata, importlib.util, json, sys
from kfp import compiler, dsl
from pipeyard_components import ComponentNotFoundError, ComponentStore

store = ComponentStore(local_search_paths=[sys.argv[1]])
echo = store.load_component("echo", digest=sys.argv[2])
try:
    store.load_component("ecco")
except ComponentNotFoundError as error:
    near = "Did you mean 'echo'?" in str(error)

@dsl.pipeline(name="elsewhere")
def elsewhere(text: str = "hello"):
    echo(text=text)

compiler.Compiler().compile(elsewhere, "elsewhere.yaml")
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "kfp": importlib.metadata.version("kfp"),
    "digest": echo.digest,
    "near": near,
    "stepkit": importlib.util.find_spec("stepkit") is not None,
}))
"""


def _run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _interpreter(version: str) -> str:
    """Returns the machine's Python of a version. Without it: skipped on a laptop; in CI uv installs it."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    if found := _found(version) or sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python3"))):
        return found[-1]
    if not os.environ.get("CI"):
        pytest.skip(f"no Python {version} on PATH, of uv's or of pyenv's; install it")
    installed = subprocess.run(
        [UV, "python", "install", "--quiet", version], capture_output=True, text=True, check=False
    )
    assert installed.returncode == 0, f"no Python {version} here, and none to install: {installed.stderr}"
    return _found(version)[-1]


def _found(version: str) -> list[str]:
    find = [UV, "python", "find", "--no-project", version]
    found = subprocess.run(find, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return [found.stdout.strip()] if found.returncode == 0 else []


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> str:
    """The address of a git repository with what the client is built of, as it is in this checkout."""
    folder = tmp_path_factory.mktemp("git") / "pipeyard"
    for name in ("libs/component_client", "libs/stepkit"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".venv", "__pycache__", ".*_cache"))
    git = ("git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "-C", folder)
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message=all")):
        _run(*git, *arguments)
    return f"pipeyard-components @ git+{folder.as_uri()}#subdirectory=libs/component_client"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The client's wheel, built from the source archive: that it has all that is needed is so seen, too."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(UV, "build", "--quiet", "--out-dir", folder, CLIENT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def newest(tmp_path_factory) -> Path:
    """Constraints: the versions that the lock has, so that what is installed tomorrow is what is tried today."""
    path = tmp_path_factory.mktemp("newest") / "constraints.txt"
    export = ("export", "--quiet", "--frozen", "--no-dev", "--no-hashes", "--no-emit-project", "--no-header")
    _run(UV, *export, "--project", CLIENT, "--output-file", path)
    return path


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> tuple[Path, str]:
    """A store with a component, and its digest."""
    folder = tmp_path_factory.mktemp("store")
    for path, data in layout.publication("echo", SPEC, ["latest"]).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder, layout.digest_of(SPEC)


def _environment(folder: Path, version: str) -> Path:
    _run(UV, "venv", "--quiet", "--no-project", "--python", _interpreter(version), folder)
    return folder / "bin/python"


def _told(python: Path, release: tuple[Path, str], elsewhere: Path) -> dict[str, object]:
    """Compiles the pipeline in a folder of its own; returns what it tells of where it ran."""
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "pipeline.py").write_text(PIPELINE)
    told = json.loads(_run(python, "-I", "pipeline.py", *release, cwd=elsewhere).splitlines()[-1])
    assert "busybox:1" in (elsewhere / "elsewhere.yaml").read_text()
    assert (told["digest"], told["near"], told["stepkit"]) == (release[1], True, False)
    return told


@pytest.mark.parametrize("version", PYTHONS)
def test_it_installs_by_git_and_from_a_wheel_on_each_python(version, repository, wheel, newest, release, tmp_path):
    python = _environment(tmp_path / "venv", version)
    pip = (UV, "pip", "install", "--quiet", "--python", python)
    _run(*pip, "--constraint", newest, repository)
    assert _told(python, release, tmp_path / "git")["python"] == version
    lock = tmp_path / "components.lock"
    _run(python.parent / "pipeyard-components", "add", release[0], "echo@latest", "--lock", lock)
    assert json.loads(lock.read_text())["components"]["echo"]["digest"] == f"sha256:{release[1]}"
    _run(*pip, "--no-deps", "--reinstall-package", "pipeyard-components", wheel)
    _run(python, "-Ic", "import pipeyard_components.http, pipeyard_components.buckets, pipeyard_components.loader")


def test_the_lowest_versions_that_are_allowed_are_enough(wheel, release, tmp_path):
    python = _environment(tmp_path / "venv", PYTHONS[0])
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    lowest = dict(re.fullmatch(r"([\w-]+)>=([\d.]+).*", each).groups() for each in project["dependencies"])
    pinned = [f"{name}=={version}" for name, version in lowest.items()]
    _run(UV, "pip", "install", "--quiet", "--python", python, *pinned, wheel)
    assert str(_told(python, release, tmp_path / "pipeline")["kfp"]).startswith(lowest["kfp"])


def test_pip_itself_installs_it_by_git(repository, newest, tmp_path):
    python = _environment(tmp_path / "venv", "3.11")
    _run(UV, "pip", "install", "--quiet", "--python", python, "pip", "--requirement", newest)
    _run(python, "-m", "pip", "install", "--quiet", "--no-input", repository)
    _run(python, "-Ic", "import pipeyard_components")


def test_its_metadata_names_what_an_index_has(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = email.message_from_bytes(archive.read(next(name for name in names if name.endswith("/METADATA"))))
    required = {re.match(r"[\w.-]+", each)[0] for each in metadata.get_all("Requires-Dist")}
    assert required == {"kfp", "pyyaml", "requests", "fsspec", "gcsfs", "s3fs", "docker"}
    assert {name.partition("/")[0] for name in names} == {"pipeyard_components", names[-1].partition("/")[0]}
    assert "pipeyard_components/_stepkit_errors.py" in names
