"""Which steps of a run failed, and where to look.

A run's details have an entry a node of the Argo workflow, with a name and a state: of a step `train` there is
`train-driver`, `train` and, in it, `executor`; around are groups (`condition-2`, `exit-handler-1`), items of loops,
hooks (`exit-handler-1.onExit`) and the workflow itself. When one step fails, all that is around it is FAILED, too. No
entry tells what it is in, which pod it was, or why it failed; its children are ids of the nodes that follow. So entries
are matched by name with the tasks of the compiled pipeline. Source: the recorded facts of a server of 2.17.0; of nodes'
names, kubeflow/pipelines, backend/src/v2/compiler/argocompiler/dag.go.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pipeyard.servers.kubeflow.cluster import NAMESPACE, RUN_ID
from pipeyard.servers.outcome import FailedStep

_DRIVER = "-driver"
# Attempts and items of loops: `train(0)`, `check(1:2)`.
_NUMBER = re.compile(r"\(\d+(:.*)?\)$")
# Nodes that are no tasks, where the pipeline's tasks aren't known.
_OWN = re.compile(
    r"(.*-driver|driver|executor|entrypoint|root|iteration.*|.*\.onExit|(condition|for-loop|exit-handler)[a-z-]*-\d+)$"
)
_DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"


@dataclass(frozen=True)
class WatchedTask:
    """A task of a compiled pipeline.

    Attributes:
        path: names from the outermost group to it, as in `exit-handler-1/train`.
        group: whether there are tasks in it.
    """

    path: str
    group: bool

    @property
    def name(self) -> str:
        """As the workflow's nodes have it."""
        return self.path.rpartition("/")[2]

    @property
    def around(self) -> list[str]:
        """Paths of the groups that it is in, the outermost first."""
        parts = self.path.split("/")
        return ["/".join(parts[:count]) for count in range(1, len(parts))]


def page_of(host: str, run_id: str) -> str:
    """Returns the address of a run's page."""
    return f"{host}/#/runs/details/{run_id}"


def tasks(spec: Mapping[str, Any]) -> list[WatchedTask]:
    """Returns the tasks of a compiled pipeline, groups before what is in them.

    Args:
        spec: the IR's PipelineSpec as JSON.
    """
    return list(_walk(spec, spec.get("root") or {}, ""))


def _walk(spec: Mapping[str, Any], component: Mapping[str, Any], path: str) -> Iterator[WatchedTask]:
    components = spec.get("components") or {}
    for name, task in ((component.get("dag") or {}).get("tasks") or {}).items():
        inner = components.get((task.get("componentRef") or {}).get("name", "")) or {}
        yield WatchedTask(f"{path}{name}", "dag" in inner)
        yield from _walk(spec, inner, f"{path}{name}/")


def failed(run: Any, known: Sequence[WatchedTask] | None, host: str, namespace: str = "") -> list[FailedStep]:
    """Returns the steps that failed, each once. A group is among them where it failed and nothing in it did.

    Args:
        run: V2beta1Run.
        known: the pipeline's tasks; None: what looks like one of the workflow's own nodes is left out.
        namespace: of the pods; empty where the server has one user.
    """
    broken = {_name(each) for each in _details(run) if each.state == "FAILED"}
    if known is None:
        known = [
            WatchedTask(name, False)
            for name in sorted({name.removesuffix(_DRIVER) for name in broken})
            if not _is_own(name)
        ]
    byname = {each.path for each in known if {each.name, f"{each.name}{_DRIVER}"} & broken}
    # A name may be in several groups; a step that failed has failed groups around it.
    real = [each for each in known if each.path in byname and set(each.around) <= byname]
    real = real or [each for each in known if each.path in byname]
    paths = [each.path for each in real if not any(other.path.startswith(f"{each.path}/") for other in real)]
    look = _look(run, namespace) if paths else ""
    return [FailedStep(path, "", _log(run, path.rpartition("/")[2], host, namespace), look) for path in sorted(paths)]


def progress(run: Any, known: Sequence[WatchedTask] | None) -> dict[str, str]:
    """Returns each task that was begun, by its node, as in `train: RUNNING`. Of a loop's there are as many as items.

    Args:
        run: V2beta1Run.
        known: the pipeline's tasks; None: what looks like one of the workflow's own nodes is left out.
    """
    leaves = {each.name for each in known or () if not each.group}
    told = {}
    for number, each in enumerate(_details(run)):
        name = _name(each)
        if each.state and (name in leaves if known is not None else name and not _is_own(name)):
            told[each.task_id or f"{name} {number}"] = f"{name}: {each.state}"
    return told


def _details(run: Any) -> Sequence[Any]:
    return (run.run_details.task_details if run.run_details else None) or []


def _name(detail: Any) -> str:
    return _NUMBER.sub("", detail.display_name or "")


def _is_own(name: str) -> bool:
    return _OWN.fullmatch(name) is not None


def _log(run: Any, name: str, host: str, namespace: str) -> str:
    """Returns the address of a step's log: what follows the step's node is its container, whose node's id is the pod's
    name, unless Argo was set up to give longer ones."""
    broken = [each for each in _details(run) if each.state == "FAILED" and _name(each) == name]
    pods = [child.pod_name for each in broken for child in each.child_tasks or [] if child.pod_name]
    if not pods:
        return page_of(host, run.run_id)
    asked = {"podname": pods[0], "runid": run.run_id, **({"podnamespace": namespace} if namespace else {})}
    return f"{host}/k8s/pod/logs?{urlencode(asked)}"


def _look(run: Any, namespace: str) -> str:
    root = (run.runtime_config.pipeline_root if run.runtime_config else "") or _DEFAULT_ROOT
    return (
        f"the step's artifact executor-logs, below {root.rstrip('/')} in the folder {run.run_id}; while its pod is "
        f"there, kubectl logs -n {namespace or NAMESPACE} -l {RUN_ID}={run.run_id} -c main --prefix --tail=-1"
    )
