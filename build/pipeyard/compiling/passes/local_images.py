"""What of a pipeline this machine can't run without a container engine, told before anything starts."""

from collections.abc import Callable

from pipeyard.compiling.passes.traversal import visits
from pipeyard.errors import PipeyardError
from pipeyard.ir import Pipeline


def problems(pipeline: Pipeline, find: Callable[[str], object]) -> tuple[list[str], list[str]]:
    """Returns the steps whose images can't run here, each with the reason; then those that run on a condition only.

    Args:
        find: gives what runs an image's steps; raises PipeyardError if nothing does.
    """
    always: list[str] = []
    perhaps: list[str] = []
    why: dict[str, str] = {}
    for visit in visits(pipeline, {}, lambda *_: None):
        image = pipeline.executors.get(visit.component.executor_label, {}).get("container", {}).get("image")
        if image is None:
            continue
        if image not in why:
            try:
                find(image)
                why[image] = ""
            except PipeyardError as error:
                why[image] = str(error)
        if why[image]:
            found = perhaps if visit.conditional or visit.task.trigger_policy.condition else always
            found.append(f"{visit.path}: {why[image]}")
    return always, perhaps
