"""Python and a shell line that use a version of a component elsewhere, by its digest. They run as they are."""

import json
import shlex

from pipeyard.catalog.catalog_stores import CatalogStore
from pipeyard_components.interfaces import VALUES, Interface, Port
from pipeyard_components.stubs import PYTHON_TYPES, argument_name, is_name

_GIVEN_BY_KFP = "PipelineTaskFinalStatus"


def python(store: CatalogStore, name: str, digest: str, interface: Interface) -> str:
    """Returns a module that loads a version, and compiles a pipeline of it alone.

    The pipeline's inputs are those that the component must be given. Without the pipeline where names of inputs can't
    be arguments.
    """
    argument = "url_search_prefixes" if store.remote else "local_search_paths"
    own = name.rpartition("/")[2]
    step = argument_name(own) if is_name(argument_name(own)) and argument_name(own) not in _TAKEN else "component"
    load = [
        f"store = ComponentStore({argument}=[{_text(store.place)}])",
        f"{step} = store.load_component({_text(name)}, digest={_text(f'sha256:{digest}')})",
    ]
    given = {argument_name(port.name): port for port in interface.inputs.values() if port.required}
    demanded = sum(port.required for port in interface.inputs.values())
    callable_ = len(given) == demanded and all(is_name(each) and each not in {*_TAKEN, step} for each in given)
    final = any(port.type == _GIVEN_BY_KFP for port in interface.inputs.values())
    if not callable_ or final:
        return "\n".join(["from pipeyard_components import ComponentStore", "", *load, ""])
    pipeline = f"use_{step}"
    parameters = ", ".join(f"{each}: {_annotation(port)}" for each, port in given.items())
    arguments = ", ".join(f"{each}={each}" for each in given)
    return "\n".join(
        [
            "from kfp import compiler, dsl",
            "from pipeyard_components import ComponentStore",
            "",
            *load,
            "",
            "",
            "@dsl.pipeline",
            f"def {pipeline}({parameters}):",
            f"    {step}({arguments})",
            "",
            "",
            f'compiler.Compiler().compile({pipeline}, "pipeline.yaml")',
            "",
        ]
    )


_TAKEN = frozenset(("store", "compiler", "dsl", "ComponentStore"))


def lock_line(store: CatalogStore, name: str, digest: str) -> str:
    """Returns the shell line that pins a version in `components.lock`."""
    return shlex.join(["pipeyard-components", "add", store.place, f"{name}@sha256:{digest}"])


def _annotation(port: Port) -> str:
    if port.type not in VALUES:
        return "dsl.Input[dsl.Artifact]"
    return PYTHON_TYPES[port.type].partition("[")[0]


def _text(text: str) -> str:
    return json.dumps(text)  # as Python writes text, too, in double quotes
