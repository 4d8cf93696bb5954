"""Small compiled pipelines, as kfp compiles them; what they say need not run."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeyard.packages import archives


def pipeline(
    name: str = "taxi", content: str = "one", parameters: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """Returns a compiled pipeline of one step that prints `content`.

    Args:
        parameters: input to its definition in the IR, e.g. `{"epochs": {"parameterType": "NUMBER_INTEGER"}}`.
    """
    return yaml.safe_dump(
        {
            "pipelineInfo": {"name": name},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
            "root": {
                "dag": {
                    "tasks": {
                        "say": {
                            "taskInfo": {"name": "say"},
                            "componentRef": {"name": "comp-say"},
                            "cachingOptions": {"enableCache": True},
                        }
                    }
                },
                **({"inputDefinitions": {"parameters": dict(parameters)}} if parameters else {}),
            },
            "components": {"comp-say": {"executorLabel": "exec-say"}},
            "deploymentSpec": {
                "executors": {"exec-say": {"container": {"image": "tests/python", "command": ["echo", content]}}}
            },
        }
    )


def package(folder: Path, commit: str, text: str, name: str = "taxi") -> Path:
    """Writes `workflow.tar.gz` of a commit into a folder of its own and returns its path."""
    where = folder / f"{commit[:8]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    where.mkdir(parents=True, exist_ok=True)
    path = where / archives.WORKFLOW
    path.write_bytes(archives.workflow(text, archives.manifest(name, text, commit, {}, b"")))
    return path
