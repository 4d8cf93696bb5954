"""The Cloud Function's source, as `gcloud functions deploy --source` takes it."""

import shutil
import subprocess
import tomllib
from pathlib import Path

from pipeyard import settings
from pipeyard.errors import PipeyardError
from pipeyard.repository import venvs
from pipeyard.repository.project import Project

SOURCE = "triggers/event/main.py"
REQUIREMENTS = "requirements.txt"
_WHEELS = "wheels"
_FRAMEWORK = "functions-framework"
# What pipeyard needs, with Vertex AI, without its tests and without itself: that comes as a wheel.
_EXPORT = (
    *("--quiet", "--frozen", "--no-dev", "--extra", "vertex", "--no-emit-project"),
    *("--no-hashes", "--no-header", "--no-annotate"),
)


def write(project: Project, folder: Path) -> list[Path]:
    """Writes `main.py`, `settings.yaml`, `requirements.txt` and a wheel with all that is ours into a folder.

    What `requirements.txt` names has the versions of the toolchain's lock.

    Raises:
        PipeyardError: the folder has other things in it, or uv fails.
    """
    ours = {Path(SOURCE).name, settings.FILE, REQUIREMENTS, _WHEELS, "__pycache__"}  # of who tried the function here
    others = sorted({path.name for path in folder.glob("*")} - ours)
    if others:
        raise PipeyardError(f"{folder} has other things in it ({', '.join(others[:3])}). Name a new folder.")
    settings.load(project.root)  # a file that doesn't fit would be found only in the cloud
    shutil.rmtree(folder / _WHEELS, ignore_errors=True)
    (folder / _WHEELS).mkdir(parents=True)
    shutil.copyfile(project.root / SOURCE, folder / Path(SOURCE).name)
    shutil.copyfile(project.root / settings.FILE, folder / settings.FILE)
    uv = venvs.uv(project)
    wheels_folder = str(folder.absolute() / _WHEELS)
    _run([uv, "build", "--wheel", "--quiet", "--out-dir", wheels_folder, str(project.root)], project)
    (folder / _WHEELS / ".gitignore").unlink(missing_ok=True)
    wheels = sorted((folder / _WHEELS).glob("*.whl"))
    locked = _run([uv, "export", *_EXPORT], project)
    lines = [*(f"./{_WHEELS}/{wheel.name}" for wheel in wheels), f"{_FRAMEWORK}=={_version(project)}"]
    (folder / REQUIREMENTS).write_text("\n".join(lines) + "\n" + locked, encoding="utf-8")
    return [folder / name for name in (Path(SOURCE).name, settings.FILE, REQUIREMENTS)] + wheels


def _version(project: Project) -> str:
    """The framework's, which only tests need here, so that nothing exports it."""
    lock = tomllib.loads((project.root / "uv.lock").read_text(encoding="utf-8"))
    return str(next(each["version"] for each in lock["package"] if each["name"] == _FRAMEWORK))


def _run(command: list[str], project: Project) -> str:
    try:
        done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise PipeyardError(f"{command[0]} is missing. Run `make setup`.") from error
    except subprocess.CalledProcessError as error:
        raise PipeyardError(f"{' '.join(command[1:3])} failed: {error.stderr.strip()}") from error
    return done.stdout
