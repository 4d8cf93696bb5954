"""Small projects that `pipeyard check` is run on: of copies of components, and of components of a few lines."""

import hashlib
import shutil
import sys
import textwrap
from pathlib import Path

from pipeyard.checks import dockerfile_template, readmes
from pipeyard.repository import venvs
from pipeyard.repository.project import Component, Project, find

ROOT = Path(__file__).parents[2]
REPOSITORY = find(ROOT)
PIPELINE = """\
from pathlib import Path
from kfp import dsl
from pipeyard.component_store import ComponentStore
store = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"])
components = store.load_components("extract", "summarize")

@dsl.pipeline(name="one")
def one(source: str):
    with dsl.ExitHandler(components.summarize(pipeline="one", run_id="r")):
        examples = components.extract(source=source).outputs["examples"]
"""
SETTINGS = """\
environments:
  check:
    target: local
    pipeline_root: ${PROJECT_ROOT}/runs
    pipelines:
      one: {parameters: {source: "${PROJECT_ROOT}/rows.csv"}}
"""
_left_out = shutil.ignore_patterns(".venv", "__pycache__", "tests", ".pytest_cache")


def copy_of(root: Path, *names: str) -> Project:
    """Makes a project of some components, with their environments, and what they need."""
    for name in names:
        _copy_component(root, name)
    shutil.copytree(ROOT / "libs/stepkit", root / "libs/stepkit", ignore=_left_out)
    write(root / dockerfile_template.TEMPLATE, (ROOT / dockerfile_template.TEMPLATE).read_text(encoding="utf-8"))
    write(root / "README.md", "<!-- components:begin --><!-- components:end -->\n")
    project = Project(root)
    for path, text in readmes.of_project(project).items():
        write(path, text)
    return Project(root)  # what was read of it may be changed


def whole_project(root: Path) -> Project:
    """Makes a project of extract and summarize with a pipeline of both, which a dry run can run."""
    project = copy_of(root, "extract", "summarize")
    (root / "tests").mkdir()
    (root / "tests/kfp1").symlink_to(ROOT / "tests/kfp1")
    write(root / "pipelines/one/pipeline.py", PIPELINE)
    write(root / "settings.yaml", SETTINGS)
    write(root / "rows.csv", "".join(f"{i}\n" for i in ["number", *range(100)]))
    return project


def _copy_component(root: Path, name: str) -> None:
    original, copy = ROOT / "components" / name, root / "components" / name
    shutil.copytree(original, copy, ignore=_left_out)
    venvs.sync(REPOSITORY, original)
    (copy / ".venv").mkdir()
    for each in (original / ".venv").iterdir():
        if each.name != venvs.STAMP:  # its own: no test may make the repository's environment anew
            (copy / ".venv" / each.name).symlink_to(each)
    stamp(copy)


def tiny(root: Path, inputs: str, args: str, program: str, more: str = "") -> Component:
    """Makes a component called tiny whose program is plain argparse, and whose environment is the tests' own.

    Args:
        inputs, args: of its component.yaml, as YAML.
        program: statements that add arguments to `parser`.
        more: statements before them.
    """
    folder = root / "components" / "tiny"
    write(
        folder / "component.yaml",
        f"name: tiny\ninputs: {inputs}\nimplementation: {{container: {{image: 'x/tiny:dev', "
        f"command: [python, -m, tiny], args: {args}}}}}\n",
    )
    write(
        folder / "src/tiny/__main__.py",
        f"import argparse\n{textwrap.dedent(more)}\nparser = argparse.ArgumentParser()\n"
        f"{textwrap.dedent(program)}\nparser.parse_args()\nraise SystemExit('it ran')\n",
    )
    write(folder / "src/tiny/__init__.py", "")
    write(folder / "pyproject.toml", "")
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(sys.executable)
    return Component(folder)


def change(path: Path, old: str, new: str) -> None:
    """Replaces text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} isn't in {path}"
    write(path, text.replace(old, new))


def stamp(component: Path) -> None:
    """Tells that an environment holds what the lock says, as build/sync-env does."""
    content = b"".join((component / name).read_bytes() for name in ("uv.lock", "pyproject.toml"))
    write(component / ".venv" / venvs.STAMP, hashlib.sha256(content).hexdigest())


def write(path: Path, text: str) -> None:
    """Writes a file, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
