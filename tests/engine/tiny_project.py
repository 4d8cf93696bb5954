"""A project of two small components."""

import os
from collections.abc import Mapping
from pathlib import Path

from projects import Project

COMPONENTS = ("hello", "world")

_SPEC = """\
# Comments and order stay.
name: {name}
inputs:
- {{name: text, type: String}}   # the only one
implementation:
  container:
    image: tiny/{name}:dev
    command: [python, -m, {name}]
    args: [--text, {{inputValue: text}}]
"""
_DOCKERFILE = """\
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${{PYTHON_IMAGE}} AS shipped
{steps}
WORKDIR /app
COPY components/{name}/src src
ENV PYTHONPATH=/app/src
FROM shipped AS test
COPY components/{name}/tests tests
USER 65532
RUN python -m unittest discover tests
FROM shipped
USER 65532
"""
_PROGRAM = "import sys\nprint('{name}', sys.argv[2])\n"
_TEST = """\
import unittest

class Test(unittest.TestCase):
    def test_it(self):
        self.assertTrue({passes})
"""


def create(folder: Path, prefix: str, python_image: str, variables: Mapping[str, str]) -> Project:
    """Makes the project, committed."""
    folder.mkdir(parents=True)
    project = Project(folder, prefix, python_image, variables)
    project.git("init", "--quiet")
    files = {".gitignore": "/dist/\n__pycache__/\n", ".dockerignore": "**/.*\ndist\n", "pipelines/README.md": "None.\n"}
    for name in COMPONENTS:
        files |= {
            f"components/{name}/component.yaml": _SPEC.format(name=name),
            f"components/{name}/Dockerfile": dockerfile(name),
            f"components/{name}/pyproject.toml": "",
            f"components/{name}/src/{name}/__init__.py": "",
            f"components/{name}/src/{name}/__main__.py": _PROGRAM.format(name=name),
            f"components/{name}/tests/test_{name}.py": unit_test(),
        }
    project.commit(files)
    return project


def dockerfile(name: str, *steps: str) -> str:
    """Returns a component's Dockerfile, with more steps in the shipped stage."""
    return _DOCKERFILE.format(name=name, steps="\n".join(f"RUN {step}" for step in steps))


def unit_test(passes: bool = True) -> str:
    """Returns a unit test's module."""
    return _TEST.format(passes=passes)


def without_engine(folder: Path) -> dict[str, str]:
    """Returns environment variables with which no engine can be reached."""
    return {"DOCKER_HOST": f"unix://{folder}/none", "PATH": os.environ["PATH"]}
