"""A component run by itself, on values made up by their types: one that no pipeline of the environment `check` loads.

Whether made-up values are any good only the component knows. So a run that fails tells nothing; one that ends well
tells whether all outputs were written.
"""

import json
from pathlib import Path

from pipeyard import ir
from pipeyard.checks import kinds
from pipeyard.compiling import compiler
from pipeyard.local import runner
from pipeyard.local.display import Display
from pipeyard.repository.project import Component, Project
from pipeyard.runs import record
from pipeyard.runs.record import Run

PREFIX = "check-of-"

_PIPELINE = """\
import json
from kfp import dsl
from pipeyard.component_store import ComponentStore

_component = ComponentStore(local_search_paths=[{components!r}]).load_component({name!r})


@dsl.pipeline(name={pipeline!r})
def alone():
    _component(**json.loads({values!r}))
"""


def made_up(component: Component) -> dict[str, object] | None:
    """Returns values for the inputs that a component needs.

    None if it needs an artifact, which nothing makes up, or a run's final status, which exit handlers' tasks alone get.
    """
    inputs = component.spec.get("inputs") or []
    needed = [each for each in inputs if not each.get("optional")]
    if any(kinds.of(each) not in kinds.VALUES for each in needed):
        return None
    if any(kinds.of(each) == kinds.FINAL_STATUS for each in inputs):
        return None
    found: dict[str, object] = {}
    for each in needed:
        text = kinds.samples(kinds.of(each))[0]
        found[each["name"]] = text if kinds.of(each) == "String" else json.loads(text)
    return found


def run(project: Project, component: Component, values: dict[str, object], root: Path, display: Display) -> Run:
    """Runs a component.

    Args:
        values: of its inputs.
        root: folder of runs.

    Raises:
        PipeyardError: it can't be compiled or started.
    """
    pipeline = PREFIX + component.name.replace("_", "-")
    folder = root / "alone" / component.name
    folder.mkdir(parents=True, exist_ok=True)
    text = _PIPELINE.format(
        components=str(component.folder.parent), name=component.name, pipeline=pipeline, values=json.dumps(values)
    )
    (folder / "pipeline.py").write_text(text, encoding="utf-8")
    package = ir.parse(compiler.compile_apart(folder).text)
    begun = root / pipeline
    resumed = begun if (begun / record.FILE).exists() else None
    hosts = runner.project_hosts(project)
    return runner.run(package, {}, root, hosts, display, resumed=resumed, name=pipeline)[0]
