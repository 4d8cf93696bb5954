"""A compiled pipeline with the cache on or off for all its steps."""

import copy
from typing import Any


def override(spec: dict[str, Any], enabled: bool) -> dict[str, Any]:
    """Returns the pipeline with every task's cache on or off.

    Conditions, loops and pipelines in pipelines have their tasks in components of their own, so these are gone through,
    too.

    Args:
        spec: the IR's PipelineSpec as JSON.
    """
    changed = copy.deepcopy(spec)
    for component in (changed.get("root", {}), *changed.get("components", {}).values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {"enableCache": True} if enabled else {}
    return changed
