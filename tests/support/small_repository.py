"""A small repository, as far as a test needs it: its files and a commit, a build of it in `dist/`, and what serves it.

`make` gives the files; `build` leaves what `pipeyard build` and `pipeyard compile` leave of them, without a registry;
`Repository` has a registry on the loopback, and runs the commands themselves.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from pipeyard.commands import build as build_command
from pipeyard.commands import compile as compile_command
from pipeyard.commands import release as release_command
from pipeyard.commands import run as run_command
from pipeyard.images import image_lock
from pipeyard.packages import archives, component_specs, dist_folder
from pipeyard.releases import provenance
from pipeyard.repository import changes, commits
from pipeyard.repository.project import Project
from support import scratch_git
from support.image_registry import ImageRegistry, StandInDocker

NAME = "whole"
BUCKET = "gs://acme-pipelines/packages"
INPUTS = {
    "epochs": {"parameterType": "NUMBER_INTEGER"},
    "note": {"parameterType": "STRING", "defaultValue": "none", "isOptional": True},
}
COMPONENTS = ("count", "show")
SPEC = """\
# A comment that stays.
name: {name}   # and this
description: Does {name}.
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


def make(
    root: Path,
    environments: dict[str, Any] | None = None,
    components: tuple[str, ...] = COMPONENTS,
    locked: bool = True,
) -> Project:
    """Makes a repository with components, one pipeline and one commit, and nothing built.

    Args:
        environments: of settings.yaml; None: `SETTINGS`.
        locked: have locks, which name nothing and aren't uv's.
    """
    files = {
        ".gitignore": "/dist/\n/runs/\n__pycache__/\n",
        "settings.yaml": SETTINGS if environments is None else yaml.safe_dump({"environments": environments}),
        f"pipelines/{NAME}/pipeline.py": PIPELINE,
    }
    for name in components:
        files |= {f"components/{name}/uv.lock": f"# {name}\n"} if locked else {}
        files |= {
            f"components/{name}/component.yaml": SPEC.format(name=name),
            f"components/{name}/Dockerfile": DOCKERFILE.format(name=name),
            f"components/{name}/pyproject.toml": "",
            f"components/{name}/src/{name}/step.py": "one = 1\n",
            f"components/{name}/tests/test_{name}.py": "def test_it():\n    assert True\n",
        }
    for name, content in files.items():
        write(root / name, content)
    scratch_git.git(root, "init", "--quiet", "--initial-branch=main")
    scratch_git.commit(root, "first")
    return Project(root)


def write(path: Path, content: str) -> None:
    """Writes a file, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def configure(project: Project, environments: dict[str, Any]) -> str:
    """Commits other settings, and returns the commit."""
    write(project.root / "settings.yaml", yaml.safe_dump({"environments": environments}))
    return scratch_git.commit(project.root, "settings")


def environment(**more: Any) -> dict[str, Any]:
    """Returns an environment as settings.yaml has it."""
    return {
        "bucket": BUCKET,
        "pipeline_root": "gs://acme-pipelines/runs",
        "pipelines": {NAME: {"parameters": {"epochs": 3}}},
        **more,
    }


def digest(content: str) -> str:
    """Returns a digest as registries write it."""
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def text(images: dict[str, str], says: str | None = "one", cached: bool = True, command: tuple[str, ...] = ()) -> str:
    """Returns a compiled pipeline: `count`, which takes `epochs`; `show` after it; and `tell` beside them.

    Args:
        says: what `tell` is told; None: the parameter `note`, which has no default then.
        command: of each step; without one it is the step's name.
    """

    def task(name: str, **inputs: Any) -> dict[str, Any]:
        return {
            "taskInfo": {"name": name},
            "componentRef": {"name": f"comp-{name}"},
            "cachingOptions": {"enableCache": cached} if cached else {},
            "inputs": inputs,
        }

    number = {"parameters": {"n": {"parameterType": "NUMBER_INTEGER"}}}
    count = task("count", parameters={"n": {"componentInputParameter": "epochs"}})
    produced = {"taskOutputArtifact": {"producerTask": "count", "outputArtifactKey": "out"}}
    show = {**task("show", artifacts={"shown": produced}), "dependentTasks": ["count"]}
    told = {"componentInputParameter": "note"} if says is None else {"runtimeValue": {"constant": says}}
    tell = task("tell", parameters={"what": told})
    inputs = INPUTS if says is not None else {**INPUTS, "note": {"parameterType": "STRING", "isOptional": True}}
    artifact = {"artifacts": {"out": {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}}}
    taken = {"artifacts": {"shown": artifact["artifacts"]["out"]}}
    said = {"parameters": {"what": {"parameterType": "STRING"}}}
    ran = {
        "count": ({"inputDefinitions": number, "outputDefinitions": artifact}, images["count"]),
        "show": ({"inputDefinitions": taken}, images["show"]),
        "tell": ({"inputDefinitions": said}, images["show"]),
    }
    return yaml.safe_dump(
        {
            "pipelineInfo": {"name": NAME},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
            "root": {
                "dag": {"tasks": {"count": count, "show": show, "tell": tell}},
                "inputDefinitions": {"parameters": inputs},
            },
            "components": {
                f"comp-{name}": {**declared, "executorLabel": f"exec-{name}"} for name, (declared, _) in ran.items()
            },
            "deploymentSpec": {
                "executors": {
                    f"exec-{name}": {"container": {"image": image, "command": [*(command or (name,))]}}
                    for name, (_, image) in ran.items()
                }
            },
        }
    )


def build(project: Project, contents: dict[str, str] | None = None, **options: Any) -> image_lock.Lock:
    """Leaves in `dist/` what `pipeyard build` and `pipeyard compile` leave of the commit that is checked out.

    Args:
        contents: component to what its image holds; the image's digest follows it.
        options: of `text`.
    """
    of = commits.current(changes.git_of(project.root), {})
    images = {
        name: image_lock.Image(
            repository=f"host.io/team/{name}",
            tag=of.tag,
            content_tag="src-1",
            source="1" * 64,
            digest=digest((contents or {}).get(name, name)),
            bytes=1,
        )
        for name in project.components
    }
    built = image_lock.Lock(
        commit=of.tag, bases={"python": f"docker.io/library/python@{digest('python')}"}, images=images
    )
    boms = {
        dist_folder.sbom_path(name): f'{{"metadata": {{"component": {{"version": "{image.digest}"}}}}}}\n'
        for name, image in images.items()
    }
    statement = provenance.statement(project, built, of, "https://git.example.com/pipeyard", "urn:test")
    dist = project.root / "dist"
    specs = dist_folder.render(project, built, dist, "digest", {**boms, dist_folder.PROVENANCE: statement})
    used = {path.parent.name: component_specs.image_of(path) for path in specs}
    compiled = text(used, **options)
    described = archives.manifest(NAME, compiled, of.tag, used, b"")
    write(dist / NAME / archives.PIPELINE, compiled)
    (dist / NAME / archives.WORKFLOW).write_bytes(archives.workflow(compiled, described))
    write(dist / NAME / archives.VERTEX, json.dumps(yaml.safe_load(compiled)))
    return built


class Repository:
    """A repository that Pipeyard's commands work on, with a registry on the loopback."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.registry = ImageRegistry()
        self.docker = StandInDocker(folder / "docker")
        self.registry.put("python", "3.11", b'{"layers": []}')
        make(self.root, locked=False)
        self.head = self.git("rev-parse", "HEAD").strip()

    def write(self, name: str, text: str) -> None:
        write(self.root / name, text)

    def commit(self, message: str) -> str:
        self.head = scratch_git.commit(self.root, message)
        return self.head

    def git(self, *arguments: str) -> str:
        return scratch_git.git(self.root, *arguments)

    def build(self, *options: str, tests: bool = False) -> Result:
        host = self.registry.host
        options = options if tests else (*options, "--no-tests")
        places = ["--registry", f"{host}/team", "--python-image", f"{host}/python:3.11"]
        return self._run(build_command, *places, "--builder", str(self.docker.program), *options)

    def compile(self) -> Result:
        return self._run(compile_command)

    def release(self, store: Path, *options: str) -> Result:
        return self._run(release_command, str(store), *options)

    def run(self, *options: str) -> Result:
        return self._run(run_command, "whole", *options)

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
