"""A compiled pipeline with the cache off for all its steps, or as it is."""

import copy
from typing import Any


def override(spec: dict[str, Any], enabled: bool) -> dict[str, Any]:
    """Returns the pipeline with every task's cache off, or as it is.

    Nothing turns on what the pipeline turned off: such a task tells of its own run, or reads outside it, and an earlier
    result would be wrong. Conditions, loops and pipelines in pipelines have their tasks in components of their own, so
    these are gone through, too.

    Args:
        spec: the IR's PipelineSpec as JSON.
        enabled: whether the cache is used where the pipeline lets it.
    """
    changed = copy.deepcopy(spec)
    if enabled:
        return changed
    for component in (changed.get("root", {}), *changed.get("components", {}).values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}
    return changed
