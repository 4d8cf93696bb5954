"""A small repository with packages in `dist/` and environments on servers of the loopback."""

import json
from pathlib import Path
from typing import Any

import yaml

from pipeyard.packages import archives, component_specs
from pipeyard.repository.project import Project
from support import scratch_git, shipped_projects

PIPELINE = "whole"
BUCKET = "gs://acme-pipelines/packages"
INPUTS = {
    "epochs": {"parameterType": "NUMBER_INTEGER"},
    "note": {"parameterType": "STRING", "defaultValue": "none", "isOptional": True},
}


def environment(**more: Any) -> dict[str, Any]:
    """Returns an environment as settings.yaml has it."""
    return {
        "bucket": BUCKET,
        "pipeline_root": "gs://acme-pipelines/runs",
        "pipelines": {PIPELINE: {"parameters": {"epochs": 3}}},
        **more,
    }


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
            "pipelineInfo": {"name": PIPELINE},
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


def make(root: Path, environments: dict[str, Any]) -> Project:
    """Makes the repository, with a first commit and nothing built."""
    project = shipped_projects.make(root)
    configure(project, environments)
    return project


def configure(project: Project, environments: dict[str, Any]) -> str:
    """Commits other settings, and returns the commit."""
    (project.root / "settings.yaml").write_text(yaml.safe_dump({"environments": environments}), encoding="utf-8")
    return scratch_git.commit(project.root, "settings")


def build(project: Project, contents: dict[str, str] | None = None, **options: Any) -> None:
    """Leaves what `pipeyard build` and `pipeyard compile` leave of the commit that is checked out.

    Args:
        contents: component to what its image holds.
        options: of `text`.
    """
    built = shipped_projects.build(project, contents)
    specs = project.root / "dist" / "components"
    images = {name: component_specs.image_of(specs / name / "component.yaml") for name in built.images}
    compiled = text(images, **options)
    folder = project.root / "dist" / PIPELINE
    described = archives.manifest(PIPELINE, compiled, built.commit, images, b"")
    (folder / archives.PIPELINE).write_text(compiled, encoding="utf-8")
    (folder / archives.WORKFLOW).write_bytes(archives.workflow(compiled, described))
    (folder / archives.VERTEX).write_text(json.dumps(yaml.safe_load(compiled)), encoding="utf-8")
