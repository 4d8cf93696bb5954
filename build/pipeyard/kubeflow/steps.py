"""Which steps of a run failed, why, and where their logs are.

A run's details have an entry a node of the workflow: besides each step's container (`executor`) its driver, and the
DAGs around them. Source: kubeflow/pipelines, how its API server makes PipelineTaskDetail of Argo's nodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

# What nodes are called that aren't steps themselves.
_PARTS = ("executor", "driver", "container-driver", "dag-driver", "root", "entrypoint")
_DRIVER = "-driver"


@dataclass(frozen=True)
class FailedStep:
    """A step that failed.

    Attributes:
        reason: as the server tells it; may be empty.
        log_url: of its log, or of the run where the server names no log.
    """

    name: str
    reason: str
    log_url: str


def page_of(host: str, run_id: str) -> str:
    """Returns the address of a run's page."""
    return f"{host}/#/runs/details/{run_id}"


def failed(run: Any, host: str, namespace: str = "") -> list[FailedStep]:
    """Returns the steps that failed, without those that failed because a step in them did.

    Args:
        run: V2beta1Run.
        namespace: of the pods; empty where the server has one user.
    """
    details = (run.run_details.task_details if run.run_details else None) or []
    parents = _parents(details)
    broken = [each for each in details if each.state == "FAILED"]
    around = {id(parent) for each in broken for parent in _up(each, parents)}
    steps = [
        FailedStep(_name(each, parents), _reason(each), _log(each, run.run_id, host, namespace))
        for each in broken
        if id(each) not in around
    ]
    return sorted(set(steps), key=lambda step: step.name)


def progress(run: Any) -> dict[str, str]:
    """Returns each step that was begun, by its node, as in `train: RUNNING`. Of a loop's there are as many as items.

    Args:
        run: V2beta1Run.
    """
    details = (run.run_details.task_details if run.run_details else None) or []
    return {
        each.task_id or each.pod_name or each.display_name: f"{each.display_name}: {each.state}"
        for each in details
        if each.state and each.display_name not in (*_PARTS, None, "") and not each.display_name.endswith(_DRIVER)
    }


def _parents(details: Sequence[Any]) -> Mapping[int, Any]:
    known = {key: each for each in details for key in (each.task_id, each.pod_name) if key}
    parents = {}
    for each in details:
        if each.parent_task_id in known:
            parents[id(each)] = known[each.parent_task_id]
        for child in each.child_tasks or []:
            found = known.get(child.task_id) or known.get(child.pod_name)
            if found is not None and found is not each:
                parents.setdefault(id(found), each)
    return parents


def _up(detail: Any, parents: Mapping[int, Any]) -> list[Any]:
    """Returns what is around a node, the innermost first."""
    found: list[Any] = []
    while (parent := parents.get(id(detail))) is not None and parent not in found:
        found.append(parent)
        detail = parent
    return found


def _name(detail: Any, parents: Mapping[int, Any]) -> str:
    for each in (detail, *_up(detail, parents)):
        name = each.display_name or ""
        if name and name not in _PARTS:
            return name.removesuffix(_DRIVER)
    return detail.display_name or detail.task_id or "?"


def _reason(detail: Any) -> str:
    errors = [detail.error, *(each.error for each in reversed(detail.state_history or []))]
    return next((" ".join(each.message.split()) for each in errors if each and each.message), "")


def _log(detail: Any, run_id: str, host: str, namespace: str) -> str:
    if not detail.pod_name:
        return page_of(host, run_id)
    asked = {"podname": detail.pod_name, "runid": run_id, **({"podnamespace": namespace} if namespace else {})}
    return f"{host}/k8s/pod/logs?{urlencode(asked)}"
