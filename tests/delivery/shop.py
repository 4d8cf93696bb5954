"""A small project in a repository of its own, whose pipeline trains on rides and deploys a model: real in all but size.

It is delivered by the files that `pipeyard ci` renders for it, and by this repository's scripts and toolchain.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servers.kubeflow import KubeflowServer
from support import scratch_git

ROOT = Path(__file__).parents[2]
PIPEYARD = Path(sys.executable).with_name("pipeyard")
DATA = ROOT / "pipelines/chicago_taxi/data/data.csv"
COMPONENTS = ("train", "push")
PIPELINE = "fares"
_SCRIPTS = ("build/ci-source", "build/ci-packages")

_MAKEFILE = """\
setup:
	@[ -e .venv ] || ln -s "$(TOOLCHAIN)" .venv
unit: setup
	@for each in components/*; do \\
	PYTHONPATH=$$each/src .venv/bin/python -m unittest discover $$each/tests || exit 1; done
lint: setup
	@.venv/bin/pylint --score=n --errors-only components/*/src/*/*.py && .venv/bin/pipeyard ci lint
.PHONY: setup unit lint
"""
_SPECS = {
    "train": """\
name: train
inputs:
- {name: source, type: String}
- {name: rows, type: Integer, default: '1000', optional: true}
outputs:
- {name: model, type: Model}
- {name: error, type: Float}
implementation:
  container:
    image: shop/train:dev  # replaced when it is delivered
    command: [python, -m, train]
    args: [--source, {inputValue: source}, --rows, {inputValue: rows}, --model, {outputPath: model},
           --error, {outputPath: error}]
""",
    "push": """\
name: push
inputs:
- {name: model, type: Model}
- {name: serving_uri, type: String}
outputs:
- {name: pushed, type: String}
implementation:
  container:
    image: shop/push:dev
    command: [python, -m, push]
    args: [--model, {inputPath: model}, --serving-uri, {inputValue: serving_uri}, --pushed, {outputPath: pushed}]
""",
}
_PROGRAMS = {
    "train": '''\
"""Learns what a mile costs."""

import argparse
import csv
import json
import pathlib


def fit(rides):
    """Returns the line through rides of (miles, fare), and its mean absolute error."""
    count = len(rides)
    miles, fares = (sum(ride[i] for ride in rides) / count for i in (0, 1))
    spread = sum((ride[0] - miles) ** 2 for ride in rides)
    slope = sum((ride[0] - miles) * (ride[1] - fares) for ride in rides) / spread
    base = fares - slope * miles
    return {"base": base, "mile": slope}, sum(abs(base + slope * x - y) for x, y in rides) / count


def main():
    parser = argparse.ArgumentParser()
    for name in ("source", "model", "error"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rows", type=int, default=1000)
    args = parser.parse_args()
    with open(args.source, encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["trip_miles"] and row["fare"]]
    rides = [(float(row["trip_miles"]), float(row["fare"])) for row in rows[: args.rows]]
    model, error = fit(rides)
    for path, text in ((args.model, json.dumps(model)), (args.error, str(error))):
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
''',
    "push": '''\
"""Puts a model where it is served, as the next version."""

import argparse
import pathlib
import shutil


def following(folder):
    """Returns the number of the next version."""
    return 1 + max((int(path.name) for path in folder.glob("[0-9]*")), default=0)


def main():
    parser = argparse.ArgumentParser()
    for name in ("model", "serving-uri", "pushed"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    folder = pathlib.Path(args.serving_uri)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / str(following(folder))
    target.mkdir()
    shutil.copy(args.model, target / "model.json")
    pushed = pathlib.Path(args.pushed)
    pushed.parent.mkdir(parents=True, exist_ok=True)
    pushed.write_text(str(target), encoding="utf-8")


if __name__ == "__main__":
    main()
''',
}
_TESTS = {
    "train": """\
import unittest

from train.__main__ import fit


class Test(unittest.TestCase):
    def test_a_line_is_found(self):
        model, error = fit([(0, 3), (1, 5), (2, 7)])
        self.assertEqual(model, {"base": 3, "mile": 2})
        self.assertEqual(error, 0)
""",
    "push": """\
import pathlib
import tempfile
import unittest

from push.__main__ import following


class Test(unittest.TestCase):
    def test_versions_count_up(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            self.assertEqual(following(folder), 1)
            (folder / "9").mkdir()
            self.assertEqual(following(folder), 10)
""",
}
_DOCKERFILE = """\
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${{PYTHON_IMAGE}} AS shipped
WORKDIR /app
COPY components/{name}/src src
ENV PYTHONPATH=/app/src
FROM shipped AS test
COPY components/{name}/tests tests
RUN python -m unittest discover tests
FROM shipped
USER 65532
"""
_PYPROJECT = '[project]\nname = "{name}"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
_LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "{name}"
version = "0.1.0"
source = {{ virtual = "." }}
"""
_PIPELINE = """\
from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

store = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"])
components = store.load_components("train", "push")


@dsl.pipeline(name="fares")
def fares(source: str, serving_uri: str, rows: int = 1000):
    trained = components.train(source=source, rows=rows)
    components.push(model=trained.outputs["model"], serving_uri=serving_uri)
"""
_SETTINGS = """\
environments:
  local: {{target: local, pipeline_root: runs}}
  test: &test
    target: kfp
    host: {host}
    bucket: {bucket}
    registry: {registry}
    pipeline_root: {folder}/artifacts
    pipelines:
      fares:
        parameters:
          source: {data}
          serving_uri: {folder}/serving
  production:
    <<: *test
    approval: required
"""


@dataclass(frozen=True)
class Places:
    """Where things go.

    Attributes:
        host: of Kubeflow Pipelines.
        registry: and path, of images.
        bucket: `gs://...`, of packages.
        folder: for served models and artifacts.
        python_image: that images are built on.
        variables: environment variables that reach the engine and Cloud Storage.
    """

    host: str
    registry: str
    bucket: str
    folder: Path
    python_image: str
    variables: Mapping[str, str]


def versions(server: KubeflowServer) -> list[dict]:
    """Returns the versions of all pipelines, oldest first."""
    with server.lock:
        found = list(server.store.versions.values())
    return sorted(found, key=lambda each: each["created_at"])


def states(server: KubeflowServer) -> list[str]:
    """Returns the state of each run, oldest first."""
    with server.lock:
        return [each["state"] for each in server.store.runs.values()]


def substitutions(given: Mapping[str, str]) -> list[str]:
    """Returns the options of `pipeyard ci run` that give a build its values."""
    return [f"--substitution={key}={value}" for key, value in given.items()]


@dataclass(frozen=True)
class Ended:
    """A `pipeyard ci run`."""

    code: int
    said: str
    status: str = ""
    seconds: float = 0.0
    steps: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, done: subprocess.CompletedProcess) -> "Ended":
        """Returns what `pipeyard ci run --json` told."""
        if not done.stdout.startswith("{"):
            return cls(done.returncode, done.stderr)
        told = json.loads(done.stdout)
        steps = {each["name"]: each["status"] for each in told["steps"]}
        logs = {each["name"]: Path(each["log"]) for each in told["steps"]}
        return cls(done.returncode, done.stderr, told["status"], told["seconds"], steps, logs)

    def log(self, step: str) -> str:
        """What a step printed."""
        return self.logs[step].read_text(encoding="utf-8")


class Shop:
    """The project, committed on main."""

    def __init__(self, folder: Path, places: Places, data: Path) -> None:
        self.folder = folder
        self.places = places
        folder.mkdir(parents=True)
        settings = _SETTINGS.format(
            host=places.host, bucket=places.bucket, registry=places.registry, folder=places.folder, data=data
        )
        files = {
            "Makefile": _MAKEFILE,
            ".gitignore": "/dist/\n/runs/\n.venv\n.venv.lock\n__pycache__/\n",
            ".dockerignore": "**/.*\n**/__pycache__\ndist\nruns\n",
            "settings.yaml": settings,
            f"pipelines/{PIPELINE}/pipeline.py": _PIPELINE,
            **{name: (ROOT / name).read_text(encoding="utf-8") for name in _SCRIPTS},
        }
        for name in COMPONENTS:
            files |= {
                f"components/{name}/component.yaml": _SPECS[name],
                f"components/{name}/Dockerfile": _DOCKERFILE.format(name=name),
                f"components/{name}/pyproject.toml": _PYPROJECT.format(name=name),
                f"components/{name}/uv.lock": _LOCK.format(name=name),
                f"components/{name}/src/{name}/__init__.py": "",
                f"components/{name}/src/{name}/__main__.py": _PROGRAMS[name],
                f"components/{name}/tests/test_{name}.py": _TESTS[name],
            }
        self._write(files)
        for name in _SCRIPTS:
            (folder / name).chmod(0o755)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        for server in ("cloudbuild", "jenkins", "github"):
            self.pipeyard("ci", server, check=True)
        self.commit({})
        for name in COMPONENTS:
            self._environment(folder / "components" / name)

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        """Runs git in the repository; returns what it prints."""
        return scratch_git.git(self.folder, *arguments)

    def commit(self, files: Mapping[str, str]) -> str:
        """Writes files and commits all that changed; returns the commit."""
        self._write(files)
        return scratch_git.commit(self.folder)

    def text(self, name: str) -> str:
        """Returns a file's content."""
        return (self.folder / name).read_text(encoding="utf-8")

    def pipeyard(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess:
        """Runs the toolchain in the repository."""
        return subprocess.run(
            [str(PIPEYARD), *arguments],
            cwd=self.folder,
            check=check,
            capture_output=True,
            text=True,
            env={**self.places.variables, "TOOLCHAIN": str(PIPEYARD.parents[1])},
        )

    def deliver(self, *options: str, run: str = PIPELINE) -> Ended:
        """Runs `pipeyard ci run`, as the trigger of main unless options say otherwise."""
        options = options or ("--trigger", "main")
        given = {}
        if "development" not in options:
            given = {
                "_PYTHON_IMAGE": self.places.python_image,
                "_BUILDER_OPTIONS": "--network=host",
                "_RUN": run,
            }
        return Ended.of(self.pipeyard("ci", "run", "--json", *options, *substitutions(given)))

    def served(self) -> list[str]:
        """Returns the versions of the model that are served."""
        folder = self.places.folder / "serving"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def _write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    @staticmethod
    def _environment(component: Path) -> None:
        """Gives a component, which needs nothing but Python, an environment that counts as its lock's."""
        programs = component / ".venv" / "bin"
        programs.mkdir(parents=True)
        (programs / "python").symlink_to(os.path.realpath(sys.executable))
        content = b"".join((component / name).read_bytes() for name in ("uv.lock", "pyproject.toml"))
        (component / ".venv" / ".lock-digest").write_text(hashlib.sha256(content).hexdigest(), encoding="utf-8")
