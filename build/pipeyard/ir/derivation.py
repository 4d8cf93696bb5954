"""A compiled pipeline with the deadline and the retries of an environment, of which the package itself knows nothing.

Protocol, all of it in kubeflow/pipelines 2.17.0:
- `retryPolicy` of a task (api/v2alpha1/pipeline_spec.proto; `PipelineTask.set_retry` writes it) becomes the
  `retryStrategy` of the step's pod (backend/src/v2/compiler/argocompiler/container.go).
- `platforms.kubernetes.pipelineConfig.activeDeadlineSeconds` (`dsl.PipelineConfig` writes it) becomes the workflow's.
- `platforms.kubernetes.deploymentSpec.executors.<label>.activeDeadlineSeconds` (`kfp.kubernetes.set_timeout` writes it)
  becomes the pod's (backend/src/v2/driver/k8s.go).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeyard.errors import near_misses
from pipeyard.system import yamls

# Names every step, in retries.
ALL = "*"
# Argo counts `backoff.maxDuration` from the start of the first attempt: after it nothing is tried again, and an attempt
# that is under way then is stopped. The hour that `set_retry` writes ends the retries of every longer step.
RETRIED_FOR = 7 * 24 * 3600


@dataclass(frozen=True)
class SpecTask:
    """A task of a compiled pipeline.

    Attributes:
        path: its groups and its name, as plans show it: `condition-1/deploy`.
        kind: what it is: a group is a condition, loop, exit handler or nested pipeline.
        task: the IR's PipelineTaskSpec. Two groups of one component share those of its steps.
    """

    path: str
    kind: str
    task: dict[str, Any]

    def is_named(self, key: str) -> bool:
        """Whether a key of retries is its path, or the end of it."""
        return f"/{self.path}".endswith(f"/{key}")


def steps(text: str) -> list[SpecTask]:
    """Returns all tasks of a compiled pipeline, at any depth."""
    return list(_walk(yamls.load_all(text)[0]))


def retried(text: str, retries: Mapping[str, int]) -> dict[str, int]:
    """Returns path to count of the steps of a compiled pipeline that retries name.

    The longest key that names a step counts, `*` last.
    """
    return _counts(steps(text), retries) if retries else {}


def _counts(found: Iterable[SpecTask], retries: Mapping[str, int]) -> dict[str, int]:
    counts = {}
    for step in found:
        keys = [key for key in retries if key != ALL and step.is_named(key)]
        if step.kind == "step" and (keys or ALL in retries):
            counts[step.path] = retries[max(keys, key=len) if keys else ALL]
    return counts


def problems(found: list[SpecTask], retries: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yields of each key of retries that can't be kept: the key, and what is wrong with what to do."""
    for key in retries:
        named = [step for step in found if step.is_named(key)]
        if key == ALL or any(step.kind == "step" for step in named):
            continue
        if not named:
            paths = [step.path for step in found if step.kind == "step"]
            known = paths if "/" in key else [path.rpartition("/")[2] for path in paths]
            yield key, f"the pipeline has no step {key!r}. {near_misses(key, known)}"
        elif named[0].kind == "importer":
            yield key, f"{key!r} imports an artifact: no pod of its own is tried again. Take it out."
        else:
            inner = [each.path for each in found if each.kind == "step" and each.path.startswith(f"{named[0].path}/")]
            yield key, f"{key!r} is a group, and retries are of steps. Name {', '.join(inner)}."
    yield from _torn(found, retries)


def derive(text: str, deadline: float | None, retries: Mapping[str, int]) -> str:
    """Returns a compiled pipeline with an environment's limits; without any it is the very same text.

    What the pipeline's author limits further stays: a shorter deadline of the run or a step, the pauses between
    retries. How often a step is retried is replaced.

    Args:
        deadline: seconds of a whole run; None: none.
        retries: see `retried`; those that `problems` yields nothing for.
    """
    if deadline is None and not retries:
        return text
    spec, *platforms = yamls.load_all(text)
    tasks = {step.path: step.task for step in _walk(spec)}
    for path, count in _counts(_walk(spec), retries).items():
        _retry(tasks[path], count, deadline)
    if deadline is not None:
        platform = next((each for each in platforms if each and "platforms" in each), None)
        if platform is None:
            platform = {"platforms": {}}
            platforms.append(platform)
        labels = [label for label, each in spec["deploymentSpec"]["executors"].items() if "container" in each]
        _limit(platform["platforms"].setdefault("kubernetes", {}), labels, math.ceil(deadline))
    # Not libyaml's: the same content has to be the same bytes wherever it is derived.
    return "---\n".join(yaml.safe_dump(each) for each in (spec, *platforms))


def _walk(spec: Mapping[str, Any]) -> Iterator[SpecTask]:
    executors = spec.get("deploymentSpec", {}).get("executors", {})

    def inside(component: Mapping[str, Any], prefix: str) -> Iterator[SpecTask]:
        for name, task in component["dag"]["tasks"].items():
            inner = spec["components"][task["componentRef"]["name"]]
            if "dag" in inner:
                yield SpecTask(f"{prefix}{name}", "group", task)
                yield from inside(inner, f"{prefix}{name}/")
            else:
                executor = executors.get(inner.get("executorLabel"), {})
                yield SpecTask(f"{prefix}{name}", "importer" if "importer" in executor else "step", task)

    return inside(spec["root"], "")


def _torn(found: list[SpecTask], retries: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yields steps that are one in the compiled pipeline, of a group that is used twice, and would get two counts."""
    counts = _counts(found, retries)
    shared: dict[int, list[str]] = {}
    for step in found:
        if step.kind == "step":
            shared.setdefault(id(step.task), []).append(step.path)
    for paths in shared.values():
        if len({counts.get(path) for path in paths}) > 1:
            key = max((key for key in retries for path in paths if f"/{path}".endswith(f"/{key}")), key=len)
            name = paths[0].rpartition("/")[2]
            yield key, f"{' and '.join(paths)} are compiled to one step, which has one count. Write {name!r} for both."


def _retry(task: dict[str, Any], count: int, deadline: float | None) -> None:
    if not count:
        task.pop("retryPolicy", None)
        return
    longest = RETRIED_FOR if deadline is None else math.ceil(deadline)
    pauses = {"backoffDuration": "0s", "backoffFactor": 2.0, "backoffMaxDuration": f"{longest}s"}
    task["retryPolicy"] = {**task.get("retryPolicy", pauses), "maxRetryCount": count}


def _limit(kubernetes: dict[str, Any], labels: list[str], seconds: int) -> None:
    run = kubernetes.setdefault("pipelineConfig", {})
    run["activeDeadlineSeconds"] = min(seconds, int(run.get("activeDeadlineSeconds") or seconds))
    executors = kubernetes.setdefault("deploymentSpec", {}).setdefault("executors", {})
    for label in labels:
        own = executors.setdefault(label, {})
        # Text, as protobuf's JSON has numbers of 64 bits.
        own["activeDeadlineSeconds"] = str(min(seconds, int(own.get("activeDeadlineSeconds") or seconds)))
