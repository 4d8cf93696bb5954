"""What steps take of a cluster by `kfp.kubernetes`, as far as this machine has it.

Secrets and config maps that become environment variables are declared in the settings of the environment; fields of a
pod that a run here has, too, are the run's. Volumes aren't there. What only places a pod has no effect.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeyard.compiling.passes.traversal import visits
from pipeyard.errors import PipeyardError, near_misses
from pipeyard.ir import Pipeline, kubernetes_settings
from pipeyard.ir.kubernetes_settings import StepSettings
from pipeyard.settings import secret_references
from pipeyard.system import yamls

_HONOURED = {
    *kubernetes_settings.PLACING,
    kubernetes_settings.TIMEOUT,
    kubernetes_settings.SECRETS,
    kubernetes_settings.CONFIG_MAPS,
    kubernetes_settings.FIELDS,
}
# Field of a pod to what stands for it here.
_FIELDS = {
    "metadata.name": "pipeline_task_uuid",
    "metadata.uid": "pipeline_task_uuid",
}
_NODE = "spec.nodeName"


@dataclass(frozen=True)
class ClusterObjects:
    """Secrets and config maps that an environment has in a cluster's place.

    Attributes:
        secrets: name of each to its keys and their values, with references to secrets in them, see
            `secret_references`.
        config_maps: name of each to a YAML or JSON file of its keys and values, or of its manifest.
    """

    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    config_maps: Mapping[str, str] = field(default_factory=dict)

    def secret(self, name: str) -> Mapping[str, str]:
        """Returns keys and values of a secret.

        Raises:
            PipeyardError: it isn't declared.
        """
        if name not in self.secrets:
            raise PipeyardError(
                f"the Kubernetes secret {name!r} isn't declared for runs here. Write it into the environment in "
                f"settings.yaml: secrets: {{{name}: {{KEY: '${{secret:VARIABLE}}'}}}}.{_near(name, self.secrets)}"
            )
        return self.secrets[name]

    def config_map(self, name: str) -> Mapping[str, str]:
        """Returns keys and values of a config map.

        Raises:
            PipeyardError: it isn't declared, or its file can't be read.
        """
        if name not in self.config_maps:
            raise PipeyardError(
                f"the Kubernetes config map {name!r} isn't declared for runs here. Write it into the environment in "
                f"settings.yaml: config_maps: {{{name}: FILE}}.{_near(name, self.config_maps)}"
            )
        return _read(name, Path(self.config_maps[name]))


@dataclass(frozen=True)
class StepVariables:
    """Environment variables that a step gets of a cluster's objects.

    Attributes:
        written: as they count for the cache, with references to secrets, and of a pod's fields only their names.
        told: the same, with the run's values of fields.
    """

    written: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)


def problems(pipeline: Pipeline, objects: ClusterObjects, env: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Returns what this machine lacks for steps, each with the step; then that of steps that run on a condition only.

    Args:
        env: where secrets are, by name.
    """
    always: list[str] = []
    perhaps: list[str] = []
    for visit in visits(pipeline, {}, lambda *_: None):
        label = visit.component.executor_label
        found = perhaps if visit.conditional or visit.task.trigger_policy.condition else always
        image = pipeline.executors.get(label, {}).get("container", {}).get("image")
        if image in kubernetes_settings.VOLUME_IMAGES:
            found.append(f"{visit.path}: it makes or removes a volume, which needs a cluster. {_INSTEAD}")
        found += [f"{visit.path}: {each}" for each in _lacking(pipeline.kubernetes.get(label, {}), objects, env)]
    return always, perhaps


def variables(
    settings: StepSettings, objects: ClusterObjects, job: Mapping[str, str], env: Mapping[str, str]
) -> StepVariables:
    """Returns the environment variables that a step gets.

    Args:
        job: see `placeholders.of_task`.
        env: where secrets are, by name.

    Raises:
        PipeyardError: it needs what isn't there.
    """
    if lacking := next(_lacking(settings, objects, env), ""):
        raise PipeyardError(lacking)
    written: dict[str, str] = {}
    for setting in settings.get(kubernetes_settings.SECRETS, ()):
        written |= _taken(setting, "secret", objects)
    for setting in settings.get(kubernetes_settings.CONFIG_MAPS, ()):
        written |= _taken(setting, "configMap", objects)
    fields = {each["name"]: each["fieldPath"] for each in settings.get(kubernetes_settings.FIELDS, ())}
    told = {**written, **{name: _field(path, job) for name, path in fields.items()}}
    return StepVariables({**written, **{name: f"field {path}" for name, path in fields.items()}}, told)


def _lacking(settings: StepSettings, objects: ClusterObjects, env: Mapping[str, str]) -> Iterator[str]:
    refused = {key: value for key, value in settings.items() if key not in _HONOURED}
    if refused:
        words = list(kubernetes_settings.described(refused)) or sorted(refused)
        yield f"it needs a cluster for {', '.join(words)}. {_INSTEAD}"
    for each in settings.get(kubernetes_settings.FIELDS, ()):
        if each.get("fieldPath") not in {*_FIELDS, _NODE}:
            known = ", ".join(sorted({*_FIELDS, _NODE}))
            yield f"the field {each.get('fieldPath')} of its pod is a cluster's; here there are {known}."
    for key, kind in ((kubernetes_settings.SECRETS, "secret"), (kubernetes_settings.CONFIG_MAPS, "configMap")):
        for setting in settings.get(key, ()):
            try:
                taken = _taken(setting, kind, objects)
            except PipeyardError as error:
                yield str(error)
                continue
            yield from secret_references.problems(taken, lambda name: f"its variable {name}", env)


def _taken(setting: Mapping[str, Any], kind: str, objects: ClusterObjects) -> dict[str, str]:
    """Returns environment variable to its value, of one secret or config map."""
    what = "secret" if kind == "secret" else "config map"
    name = kubernetes_settings.name_of(setting, kind)
    if not name:
        raise PipeyardError(
            f"the name of a Kubernetes {what} comes from an input, which isn't known before the run. Write the name "
            "into the pipeline for runs here."
        )
    optional = bool(setting.get("optional"))
    declared = objects.secrets if kind == "secret" else objects.config_maps
    if optional and name not in declared:
        return {}
    values = objects.secret(name) if kind == "secret" else objects.config_map(name)
    found = {}
    for key, variable in kubernetes_settings.key_to_env(setting).items():
        if key in values:
            found[variable] = values[key]
        elif not optional:
            raise PipeyardError(f"the Kubernetes {what} {name!r} has no key {key!r} here.{_near(key, values)}")
    return found


def _field(path: str, job: Mapping[str, str]) -> str:
    return platform.node() if path == _NODE else job.get(_FIELDS.get(path, ""), "")


def _read(name: str, path: Path) -> Mapping[str, str]:
    try:
        content = yamls.load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PipeyardError(f"the config map {name!r} can't be read from {path}: {error}.") from error
    if isinstance(content, dict) and content.get("kind") == "ConfigMap":
        content = content.get("data") or {}
    if not isinstance(content, dict) or not all(isinstance(each, str) for each in content.values()):
        raise PipeyardError(
            f"{path} isn't a config map: write a mapping of keys to texts ('1' for a number), or a ConfigMap's "
            "manifest."
        )
    return {str(key): value for key, value in content.items()}


def _near(name: str, there: Mapping[str, Any]) -> str:
    return f" {near_misses(name, there)}" if there else ""


_INSTEAD = "Put the step under a condition that is false here, or give it a path as a parameter."
