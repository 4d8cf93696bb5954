"""What the API tells of a run's steps: an entry a node of the Argo workflow.

Of a step `train` there are `train-driver`, `train` and, in it, `executor`; of a group its driver and itself; around
them `root-driver`, `root` and the workflow, which is called as it is in Kubernetes; of an exit handler `exit-handler-1`
the hook `exit-handler-1.onExit`, in which the exit task is. Of a loop: `iteration-driver`, `iteration-iterations` and,
an item, `iteration-iterations(0:0)` with `iteration-item-driver` and `iteration-item` in it. Names: kubeflow/pipelines,
backend/src/v2/compiler/argocompiler/dag.go.

As was seen of the real server: entries have no `pod_name`, no `error` and no `parent_task_id`. `child_tasks` has ids of
nodes in the order of execution: what follows a node, not what is in it. Nodes that were left out because something
before them failed have no `state`. All that is around a node that failed is FAILED.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from pipeyard.local.record import State, Task

from .dag import needs

_COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"
_BY_CONDITION = "not so: "
_ROOT = "root"
_OMITTED = ""
# The worst first; a group has the worst of its nodes' states.
_ORDER = ("FAILED", "RUNNING", "PENDING", "SUCCEEDED")


@dataclass
class Node:
    """A node of the workflow.

    Attributes:
        path: unique in the workflow.
        state: empty: it was left out.
        task: path, as the local runner has it, of the step whose log it has: what the step printed, or of a driver, why
            it failed.
        after: paths of the nodes that it follows.
    """

    path: str
    name: str
    state: str
    task: str = ""
    after: list[str] = field(default_factory=list)


def identifier(workflow: str, path: str) -> str:
    """Returns a node's id, which is its pod's name, too, if it has one."""
    return f"{workflow}-{uuid.uuid5(uuid.NAMESPACE_URL, path).int % 10**10}" if path else workflow


def details(run_id: str, workflow: str, nodes: Sequence[Node], now: str) -> list[dict[str, Any]]:
    """Returns the entries of nodes, by id.

    Args:
        workflow: name of the run's Workflow.
        now: the time in the API's form.
    """
    followers: dict[str, list[str]] = {each.path: [] for each in nodes}
    for each in nodes:
        for before in each.after:
            followers[before].append(identifier(workflow, each.path))
    found = []
    for each in nodes:
        key = identifier(workflow, each.path)
        entry = {
            "run_id": run_id,
            "task_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}/{each.path}")),
            "display_name": each.name or workflow,
            "create_time": now,
            "start_time": now,
        }
        if each.state:
            entry |= {"state": each.state, "state_history": [{"update_time": now, "state": each.state}]}
        if each.state in ("SUCCEEDED", "FAILED", "SKIPPED"):
            entry["end_time"] = now
        if followers[each.path]:
            entry["child_tasks"] = [{"pod_name": child} for child in followers[each.path]]
        found.append((key, entry))
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def of_run(spec: Mapping[str, Any], tasks: Sequence[Task], ended: bool) -> list[Node]:
    """Returns the nodes that a workflow has got so far.

    Args:
        spec: the IR's PipelineSpec as JSON.
        tasks: the leaves, as the local runner has them.
        ended: the workflow has ended.
    """
    walk = _Walk(spec, {each.path: each for each in tasks}, ended)
    inside = list(walk.group(spec["root"], "", _ROOT, [_ROOT]))
    state = _worst(inside, ended)
    return [
        Node("", "", state),
        Node(f"{_ROOT}-driver", f"{_ROOT}-driver", "SUCCEEDED", after=[""]),
        Node(_ROOT, _ROOT, state, after=[f"{_ROOT}-driver"]),
        *inside,
    ]


class _Walk:
    """Goes through a pipeline's groups.

    Args:
        tasks: the leaves by path, as the local runner has them.
    """

    def __init__(self, spec: Mapping[str, Any], tasks: Mapping[str, Task], ended: bool) -> None:
        self._components = spec.get("components", {})
        executors = spec.get("deploymentSpec", {}).get("executors", {})
        self._importers = {key for key, each in executors.items() if "importer" in each}
        self._tasks = tasks
        self._ended = ended

    def group(self, component: Mapping[str, Any], path: str, node: str, begin: list[str]) -> Iterator[Node]:
        """Yields the nodes in a group.

        Args:
            path: of the group, as the local runner has it.
            node: path of the group's node.
            begin: nodes that its first ones follow.
        """
        tasks = component["dag"]["tasks"]
        last: dict[str, list[str]] = {}
        for name in TopologicalSorter({key: sorted(set(needs(each))) for key, each in tasks.items()}).static_order():
            task = tasks[name]
            before = [each for needed in sorted(set(needs(task))) for each in last.get(needed, ())] or begin
            inner = f"{path}/{name}" if path else name
            if task.get("triggerPolicy", {}).get("strategy") == _COMPLETED and task.get("dependentTasks"):
                made = list(self._hook(task, inner, f"{node}/{task['dependentTasks'][0]}.onExit", before))
            else:
                made = list(self.task(name, task, inner, node, before))
            yield from made
            last[name] = [made[-1].path] if made else before

    def _hook(self, task: Mapping[str, Any], path: str, node: str, before: list[str]) -> Iterator[Node]:
        inside = list(self.task(path.rpartition("/")[2], task, path, node, [node]))
        if inside:
            yield Node(node, node.rpartition("/")[2], _worst(inside, self._ended), after=before)
            yield from inside

    def task(self, name: str, task: Mapping[str, Any], path: str, node: str, before: list[str]) -> Iterator[Node]:
        """Yields the nodes of a task, the one that others follow last."""
        component = self._components[task["componentRef"]["name"]]
        if "parameterIterator" in task or "artifactIterator" in task:
            yield from self._loop(name, component, path, node, before)
        elif "dag" in component:
            yield from self._dag(name, component, path, f"{node}/{name}", before)
        elif path in self._tasks and component.get("executorLabel") in self._importers:
            yield from self._importer(name, self._tasks[path], f"{node}/{name}", before)
        elif path in self._tasks:
            yield from self._step(name, self._tasks[path], f"{node}/{name}", before)

    @staticmethod
    def _importer(name: str, task: Task, node: str, before: list[str]) -> Iterator[Node]:
        """Yields the one node of an importer, which has no driver."""
        if task.state != State.PENDING:
            states = {State.SKIPPED: _OMITTED, State.CACHED: "SUCCEEDED", State.CANCELED: "FAILED"}
            yield Node(node, name, states.get(task.state, str(task.state)), task.path, before)

    def _step(self, name: str, task: Task, node: str, before: list[str]) -> Iterator[Node]:
        driver = Node(f"{node}-driver", f"{name}-driver", "SUCCEEDED", after=before)
        itself = Node(node, name, "", after=[driver.path])
        executor = Node(f"{node}/executor", "executor", "", task.path, [node])
        if task.state in (State.PENDING, State.CANCELED) and not task.attempts:
            return
        if task.state == State.SKIPPED:
            yield from _left_out(driver, itself, task)
        elif task.state == State.FAILED and not task.attempts:
            driver.state, driver.task = "FAILED", task.path
            yield from (driver, itself)
        else:
            ended = "FAILED" if task.state in (State.FAILED, State.CANCELED) else "SUCCEEDED"
            itself.state = ended if task.state.ended else "RUNNING"
            executor.state = "SKIPPED" if task.state == State.CACHED else itself.state
            yield from (driver, itself, executor)

    def _dag(self, name: str, component: Mapping[str, Any], path: str, node: str, before: list[str]) -> Iterator[Node]:
        leaves = self._leaves(path)
        driver = Node(f"{node}-driver", f"{name}-driver", "SUCCEEDED", after=before)
        itself = Node(node, name, "", after=[driver.path])
        if not leaves or all(each.state in (State.PENDING, State.CANCELED) and not each.attempts for each in leaves):
            return
        if all(each.state == State.SKIPPED for each in leaves):
            yield from _left_out(driver, itself, leaves[0])
            return
        inside = list(self.group(component, path, node, [node]))
        itself.state = _worst(inside, self._over(leaves))
        yield from (driver, itself, *inside)

    def _loop(self, name: str, component: Mapping[str, Any], path: str, node: str, before: list[str]) -> Iterator[Node]:
        numbers = sorted(
            {int(each[len(path) + 1 :].partition("]")[0]) for each in self._tasks if each.startswith(f"{path}[")}
        )
        if not numbers:
            return
        loop, around = f"{node}/{name}", f"{node}/{name}/iteration-iterations"
        made: list[Node] = []
        for number in numbers:
            item = f"{around}({number}:{number})"
            inside = list(self._item(component, f"{path}[{number}]", item))
            state = _worst(inside, self._ended or self._over(self._leaves(f"{path}[{number}]")))
            made += [Node(item, item.rpartition("/")[2], state, after=[around]), *inside]
        state = _worst(made, self._ended or self._over(self._leaves(path)))
        yield Node(loop, name, state, after=before)
        yield Node(f"{loop}/iteration-driver", "iteration-driver", "SUCCEEDED", after=[loop])
        yield Node(around, "iteration-iterations", state, after=[f"{loop}/iteration-driver"])
        yield from made

    def _item(self, component: Mapping[str, Any], path: str, node: str) -> Iterator[Node]:
        if "dag" in component:
            yield from self._dag("iteration-item", component, path, f"{node}/iteration-item", [node])
        elif path in self._tasks:
            yield from self._step("iteration-item", self._tasks[path], f"{node}/iteration-item", [node])

    def _leaves(self, path: str) -> list[Task]:
        beginnings = (f"{path}/", f"{path}[")
        return [each for key, each in self._tasks.items() if key == path or key.startswith(beginnings)]

    def _over(self, leaves: Sequence[Task]) -> bool:
        return self._ended or all(each.state.ended for each in leaves)


def _left_out(driver: Node, itself: Node, leaf: Task) -> tuple[Node, Node]:
    """Returns both with their states: a driver finds that a condition isn't met; what failed before leaves both out."""
    itself.state = "SKIPPED" if leaf.reason.startswith(_BY_CONDITION) else _OMITTED
    driver.state = "SUCCEEDED" if itself.state else _OMITTED
    return driver, itself


def _worst(nodes: Sequence[Node], ended: bool) -> str:
    """Returns a group's state: FAILED if one of its nodes is, and RUNNING until all have ended."""
    states = {each.state for each in nodes} & set(_ORDER)
    if not ended:
        states.add("RUNNING")
    return next((each for each in _ORDER if each in states), "SUCCEEDED")
