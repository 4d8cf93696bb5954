"""Pipelines of one file, for tests of what becomes of them when they are compiled."""

from collections.abc import Mapping
from pathlib import Path

from pipeyard.compiling import compiler
from pipeyard.compiling.compiler import CompiledPipeline

_HEAD = """
from pathlib import Path
from typing import Optional
from kfp import dsl
from pipeyard.component_store import ComponentStore
_store = ComponentStore(local_search_paths=[Path(__file__).parent / "components"])
"""


def compiled(folder: Path, components: Mapping[str, str], body: str) -> CompiledPipeline:
    """Compiles a `pipeline.py` with components of its own.

    Args:
        components: name to the specification without its name: what `body` calls as a function.
    """
    head = _HEAD
    for name, spec in components.items():
        path = folder / "components" / name / "component.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name: {name}\n{spec}", encoding="utf-8")
        head += f"{name} = _store.load_component({name!r})\n"
    (folder / "pipeline.py").write_text(head + body, encoding="utf-8")
    return compiler.compile_pipeline(folder)
