"""A project whose steps take a moment each, and do what steps do: files aside, folders, children out of their group."""

import hashlib
import sys
from pathlib import Path

from pipeyard.repository.project import Project

PIPELINE = "light"
# Where runs are; every process of a run inherits it.
ROOT_VARIABLE = "LIGHT_ROOT"
_SPEC = """\
name: {name}
metadata:
  annotations:
    pipeyard.dev/preload: '["json"]'
inputs: [{inputs}]
outputs: [{{name: data, type: Dataset}}, {{name: said, type: String}}, {{name: facts, type: JsonObject}}]
implementation:
  container:
    image: light/{name}:dev
    command: [python, -m, work]
    args: [{{inputValue: text}}, {{outputPath: data}}, {{outputPath: said}}, {{outputPath: facts}}{arguments}]
"""
_ARTIFACTS = {"make": (), "join": ("left", "right")}
_MAIN = """\
import hashlib, json, os, subprocess, sys
from pathlib import Path

text, data, said, facts, *inputs = sys.argv[1:]
subprocess.Popen(["sleep", "600"], start_new_session=True)  # it is for the runner to end it
read = [path for folder in inputs for path in sorted(Path(folder).rglob("*")) if path.is_file()]
digest = hashlib.sha256(text.encode() + b"".join(path.read_bytes() for path in read)).hexdigest()

def whole(path, fill):
    aside = Path(path).with_name(f".{Path(path).name}.partial")
    aside.parent.mkdir(parents=True, exist_ok=True)
    fill(aside)
    aside.rename(path)

def folder(aside):
    for number in range(3):
        (aside / "deep").mkdir(parents=True, exist_ok=True)
        (aside / "deep" / f"part-{number}").write_text(f"{digest}{number}\\n" * 1000)

whole(data, folder)
whole(said, lambda aside: aside.write_text(digest))
whole(facts, lambda aside: aside.write_text(json.dumps({"files": len(read), "digest": digest})))
"""
_PIPELINE = """\
from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

store = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"])
components = store.load_components("make", "join")


@dsl.pipeline(name="light")
def pipeline(text: str = "x"):
    one = components.make(text=text)
    two = components.make(text="two")
    both = components.join(text="both", left=one.outputs["data"], right=two.outputs["data"])
    components.join(text=both.outputs["said"], left=both.outputs["data"], right=one.outputs["data"])
"""
_SETTINGS = f"""\
variables:
  {ROOT_VARIABLE}: folder of runs
environments:
  here: {{target: local, pipeline_root: "${{{ROOT_VARIABLE}}}"}}
"""


def make(root: Path) -> Project:
    """Makes the project. The environment `here` has its runs in $LIGHT_ROOT."""
    files = {f"pipelines/{PIPELINE}/pipeline.py": _PIPELINE, "settings.yaml": _SETTINGS}
    for name, artifacts in _ARTIFACTS.items():
        inputs = ", ".join(["{name: text, type: String}", *(f"{{name: {each}, type: Dataset}}" for each in artifacts)])
        arguments = "".join(f", {{inputPath: {each}}}" for each in artifacts)
        files |= {
            f"components/{name}/component.yaml": _SPEC.format(name=name, inputs=inputs, arguments=arguments),
            f"components/{name}/src/work/__init__.py": "",
            f"components/{name}/src/work/__main__.py": _MAIN,
            f"components/{name}/pyproject.toml": "",
            f"components/{name}/uv.lock": "",
            f"components/{name}/.venv/.lock-digest": hashlib.sha256(b"").hexdigest(),
        }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for name in _ARTIFACTS:
        (root / f"components/{name}/.venv/bin").mkdir()
        (root / f"components/{name}/.venv/bin/python").symlink_to(sys.executable)
    return Project(root)
