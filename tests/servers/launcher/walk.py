"""A compiled pipeline, step by step: driver, launcher, driver, launcher."""

import graphlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers.driver import Refused, resolved

from . import driver
from .driver import Pod, Task
from .launcher import Launch, launch
from .records import COMPLETE, FAILED, RUNNING, Artifact, Execution, Records, final_status
from .storage import Store

# What kfp compiles `dsl.If(x == True)` to.
_IS_TRUE = re.compile(r"inputs\.parameter_values\['([^']+)'\] == true$")


@dataclass
class Run:
    """What became of a run.

    Attributes:
        executions: task to its execution; groups of tasks (exit handlers, conditions) too. One whose condition wasn't
            met, or that comes after it, has none.
        tasks: what was run.
        refused: task to why the driver failed before there was an execution.
    """

    executions: dict[str, Execution] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Walk:
    """Runs pipelines of plain tasks, exit handlers and conditions of the form `x == True`.

    Attributes:
        folder: gets a pod for every attempt.
        env: gives the environment of a container by its image.
        mended: False: the driver is 2.17.0's, which starts no task that leaves a defaulted input out that its command
            needs; True: that of later versions.
        cached: task to the execution whose outputs the driver takes instead of running it.
    """

    spec: Mapping[str, Any]
    folder: Path
    store: Store
    records: Records
    env: Callable[[str], Mapping[str, str]]
    pipeline_root: str = "minio://mlpipeline/v2/artifacts"
    run_id: str = "run-1"
    mended: bool = False
    cached: Mapping[str, Execution] = field(default_factory=dict)

    def run(self, parameters: Mapping[str, Any]) -> Run:
        """Runs the whole pipeline; the steps of an exit handler come last, whatever happened."""
        run = Run()
        root = self.spec["root"]
        self._dag(run, "root", root, driver.with_defaults(parameters, root), {})
        return run

    def again(self, task: Task, store: Store, attempt: str = "2") -> tuple[Execution, Launch]:
        """Runs one more attempt of a task, in a new pod and to the same URIs, which nothing clears."""
        execution = self.records.begin(task.name)
        env = self.env(task.container["image"])
        launched = Launch(task, Pod(self.folder / f"{task.name}-{attempt}"), execution.id, env)
        return launch(launched, store, self.records), launched

    def _dag(
        self,
        run: Run,
        name: str,
        component: Mapping[str, Any],
        parameters: Mapping[str, Any],
        artifacts: Mapping[str, Artifact],
    ) -> None:
        """Runs a group of tasks and records how it ended.

        It is COMPLETE or FAILED once all of its tasks are; where one never began, nothing ever ends it: it is RUNNING
        for good.
        """
        run.executions[name] = self.records.begin(name)
        tasks = component["dag"]["tasks"]
        order = graphlib.TopologicalSorter({key: set(task.get("dependentTasks", ())) for key, task in tasks.items()})
        for key in order.static_order():
            task = tasks[key]
            if not self._begins(run, task):
                continue
            given, taken = self._inputs(run, task, parameters, artifacts)
            condition = task.get("triggerPolicy", {}).get("condition")
            if condition and not given[_condition(condition)]:
                continue
            inner = self.spec["components"][task["componentRef"]["name"]]
            if "dag" in inner:
                self._dag(run, key, inner, driver.with_defaults(given, inner), taken)
            else:
                self._container(run, key, inner, given, taken)
        states = [run.executions[key].state if key in run.executions else RUNNING for key in tasks]
        if FAILED in states:
            run.executions[name] = self.records.publish(run.executions[name].id, FAILED)
        elif RUNNING not in states:
            run.executions[name] = self.records.publish(run.executions[name].id, COMPLETE)

    @staticmethod
    def _begins(run: Run, task: Mapping[str, Any]) -> bool:
        if task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED":
            return True
        before = [run.executions.get(key) for key in task.get("dependentTasks", ())]
        return all(each and each.state == COMPLETE for each in before)

    def _container(
        self,
        run: Run,
        name: str,
        component: Mapping[str, Any],
        parameters: Mapping[str, Any],
        artifacts: Mapping[str, Artifact],
    ) -> None:
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        root = f"{self.pipeline_root}/{self.spec['pipelineInfo']['name']}/{self.run_id}/{name}"
        task = Task(name, component, container, root, parameters, artifacts)
        given = driver.with_defaults(parameters, component) if self.mended else parameters
        try:
            resolved([*container.get("command", ()), *container.get("args", ())], given)
        except Refused as error:
            run.refused[name] = str(error)
            return
        run.tasks[name] = task
        run.executions[name] = self.cached[name] if name in self.cached else self.again(task, self.store, "1")[0]

    def _inputs(
        self, run: Run, task: Mapping[str, Any], parameters: Mapping[str, Any], artifacts: Mapping[str, Artifact]
    ) -> tuple[dict[str, Any], dict[str, Artifact]]:
        inputs = task.get("inputs", {})
        given = {}
        for name, source in inputs.get("parameters", {}).items():
            if "componentInputParameter" in source:
                if source["componentInputParameter"] in parameters:
                    given[name] = parameters[source["componentInputParameter"]]
            elif "taskOutputParameter" in source:
                output = source["taskOutputParameter"]
                given[name] = run.executions[output["producerTask"]].parameters[output["outputParameterKey"]]
            elif "taskFinalStatus" in source:
                producer = run.executions[source["taskFinalStatus"]["producerTask"]]
                given[name] = final_status(producer, self.run_id)
            else:
                constant = source["runtimeValue"]["constant"]
                given[name] = self.run_id if constant == "{{$.pipeline_job_uuid}}" else constant
        taken = {}
        for name, source in inputs.get("artifacts", {}).items():
            if "componentInputArtifact" in source:
                taken[name] = artifacts[source["componentInputArtifact"]]
            else:
                output = source["taskOutputArtifact"]
                taken[name] = run.executions[output["producerTask"]].artifacts[output["outputArtifactKey"]]
        return given, taken


def _condition(text: str) -> str:
    """Returns the input that has to be true."""
    match = _IS_TRUE.search(text)
    if not match:
        raise ValueError(f"The condition {text!r} isn't of the form that this stand-in knows: x == True.")
    return match.group(1)
