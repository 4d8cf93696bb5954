"""A small project whose pipeline reads what a trigger gives it, with environments and triggers."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from pipeyard.repository.project import Project

_SPEC = """\
name: read
inputs:
- {name: source, type: String}
outputs:
- {name: length, type: Integer}
implementation:
  container:
    image: tiny/read:dev
    command:
    - python
    - -c
    - |
      import pathlib, sys
      source, length = sys.argv[1:]
      if "bad" in source:
          sys.exit("bad data")
      pathlib.Path(length).parent.mkdir(parents=True, exist_ok=True)
      pathlib.Path(length).write_text(str(len(source)))
    args: [{inputValue: source}, {outputPath: length}]
"""
_PIPELINE = """\
from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

components = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"]).load_components("read")


@dsl.pipeline(name="NAME")
def pipeline(source: str, note: str = ""):
    components.read(source=source)
"""
NEW_FILES = {
    "name": "new-files",
    "kind": "event",
    "bucket": "landing",
    "prefix": "taxi/",
    "suffix": ".csv",
    "parameter": "source",
}


def make(root: Path, pipelines: dict[str, dict[str, Any]], **environments: Any) -> Project:
    """Makes the project.

    Args:
        pipelines: name to what the environment `here` sets for it.
        environments: further ones.
    """
    files = {
        "components/read/component.yaml": _SPEC,
        "components/read/pyproject.toml": "",
        "components/read/uv.lock": "",
        "components/read/.venv/.lock-digest": hashlib.sha256(b"").hexdigest(),
        **{f"pipelines/{name}/pipeline.py": _PIPELINE.replace("NAME", name.replace("_", "-")) for name in pipelines},
    }
    for name, text in files.items():
        write(root / name, text)
    (root / "components/read/.venv/bin").mkdir()
    (root / "components/read/.venv/bin/python").symlink_to(sys.executable)
    configure(root, pipelines, **environments)
    return Project(root)


def write(path: Path, text: str) -> None:
    """Writes a file, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def configure(root: Path, pipelines: dict[str, dict[str, Any]], **environments: Any) -> None:
    """Writes settings.yaml."""
    here = {"target": "local", "pipeline_root": "${PROJECT_ROOT}/runs", "pipelines": pipelines}
    text = yaml.safe_dump({"environments": {"here": here, **environments}})
    (root / "settings.yaml").write_text(text, encoding="utf-8")


def notification(name: str, generation: int = 1, bucket: str = "landing") -> str:
    """Returns the body of a CloudEvent: an object is new."""
    return json.dumps(
        {
            "specversion": "1.0",
            "type": "google.cloud.storage.object.v1.finalized",
            "source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
            "id": f"{name}-{generation}",
            "data": {"bucket": bucket, "name": name, "generation": str(generation)},
        }
    )
