"""A small repository that Pipeyard's commands work on, with a registry on the loopback."""

from pathlib import Path

from click.testing import CliRunner, Result

from pipeyard.commands import build, release, run
from pipeyard.commands import compile as compile_command
from pipeyard.images import image_lock
from pipeyard.packages import component_specs
from support import scratch_git
from support.image_registry import ImageRegistry, StandInDocker

SPEC = """\
# A comment that stays.
name: {name}   # and this
outputs:
- {{name: rows, type: Integer}}
inputs:
- {{name: limit, type: Integer}}
implementation:
  container:
    image: dev/{name}:dev  # kept too
    command: [python, -m, {name}]
    args: [{{inputValue: limit}}, {{outputPath: rows}}]
"""

DOCKERFILE = """\
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${{PYTHON_IMAGE}} AS shipped
COPY components/{name}/src src
FROM shipped AS test
COPY components/{name}/tests tests
RUN python -m pytest tests
FROM shipped
USER 65532
"""

PIPELINE = """\
from pathlib import Path
from kfp import dsl
from pipeyard.component_store import ComponentStore
store = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"])
components = store.load_components("count", "show")

@dsl.pipeline(name="whole")
def whole(limit: int):
    counted = components.count(limit=limit)
    components.show(limit=counted.outputs["rows"])
"""

SETTINGS = """\
environments:
  local: {target: local, pipeline_root: "${PROJECT_ROOT}/runs", pipelines: {whole: {parameters: {limit: 3}}}}
"""


class Repository:
    """A repository with two components and a pipeline, and what its commands need."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.registry = ImageRegistry()
        self.docker = StandInDocker(folder / "docker")
        self.registry.put("python", "3.11", b'{"layers": []}')
        self.write("settings.yaml", SETTINGS)
        self.write(".gitignore", "/dist/\n/runs/\n__pycache__/\n")
        self.write("pipelines/whole/pipeline.py", PIPELINE)
        for name in ("count", "show"):
            self.write(f"components/{name}/component.yaml", SPEC.format(name=name))
            self.write(f"components/{name}/Dockerfile", DOCKERFILE.format(name=name))
            self.write(f"components/{name}/pyproject.toml", "")
            self.write(f"components/{name}/src/{name}/step.py", "one = 1\n")
            self.write(f"components/{name}/tests/test_{name}.py", "def test_it():\n    assert True\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.head = self.commit("first")

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def commit(self, message: str) -> str:
        self.head = scratch_git.commit(self.root, message)
        return self.head

    def git(self, *arguments: str) -> str:
        return scratch_git.git(self.root, *arguments)

    def build(self, *options: str, tests: bool = False) -> Result:
        host = self.registry.host
        options = options if tests else (*options, "--no-tests")
        places = ["--registry", f"{host}/team", "--python-image", f"{host}/python:3.11"]
        return self._run(build, *places, "--builder", str(self.docker.program), *options)

    def compile(self) -> Result:
        return self._run(compile_command)

    def release(self, store: Path, *options: str) -> Result:
        return self._run(release, str(store), *options)

    def run(self, *options: str) -> Result:
        return self._run(run, "whole", *options)

    def _run(self, module, *arguments: str) -> Result:
        return CliRunner().invoke(module.command, [*arguments, "--project", str(self.root)])

    def spec_image(self, name: str) -> str:
        return component_specs.image_of(self.root / "dist/components" / name / "component.yaml")

    @property
    def lock(self) -> Path:
        return self.root / "dist" / image_lock.FILE

    def in_registry(self, image: str) -> bytes | None:
        """Returns the manifest that a full reference names."""
        name, _, reference = image.removeprefix(f"{self.registry.host}/").partition("@")
        if not reference:
            name, _, reference = name.rpartition(":")
        return self.registry.manifests.get((name, reference))
