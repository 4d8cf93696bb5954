"""What of a pipeline this machine can't run without a container engine, told before anything starts."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pipeyard.compiling.passes.traversal import visits
from pipeyard.errors import PipeyardError
from pipeyard.ir import Pipeline


def problems(pipeline: Pipeline, find: Callable[[Mapping[str, Any]], object]) -> tuple[list[str], list[str]]:
    """Returns the steps that can't run here, each with the reason; then those that run on a condition only.

    Args:
        find: gives what runs a container; raises PipeyardError if nothing does.
    """
    always: list[str] = []
    perhaps: list[str] = []
    why: dict[str, str] = {}
    for visit in visits(pipeline, {}, lambda *_: None):
        container = pipeline.executors.get(visit.component.executor_label, {}).get("container", {})
        if "image" not in container:
            continue
        key = json.dumps(container, sort_keys=True)
        if key not in why:
            try:
                find(container)
                why[key] = ""
            except PipeyardError as error:
                why[key] = str(error)
        if why[key]:
            found = perhaps if visit.conditional or visit.task.trigger_policy.condition else always
            found.append(f"{visit.path}: {why[key]}")
    return always, perhaps
