"""The flow as Cloud Build's `cloudbuild.yaml` and triggers."""

from collections.abc import Iterable
from typing import Any

from pipeyard.ci import flow
from pipeyard.ci.yaml_style import as_yaml

FILES = {flow.DELIVERY: "cloudbuild.yaml", flow.DEVELOPMENT: "cloudbuild.development.yaml"}
TRIGGERS = "triggers/cloud-build"
# Trigger to the flow that it starts, what starts it, and the environment that is deployed to.
_TRIGGERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "development": (flow.DEVELOPMENT, {"branch": "^main$", "invertRegex": True}, ""),
    "main": (flow.DELIVERY, {"branch": "^main$"}, flow.FROM_MAIN),
    "tag": (flow.DELIVERY, {"tag": "^v[0-9]+[.][0-9]+[.][0-9]+$"}, flow.FROM_TAG),
}
# Filled in where triggers are made; or named in pyproject.toml.
REPOSITORY = "projects/PROJECT/locations/REGION/connections/CONNECTION/repositories/REPOSITORY"


def build(described: flow.Flow, header: str) -> str:
    """Returns a flow as a build: a step each, in order, with what it waits for."""
    steps = "".join(f"# {step.title}\n{as_yaml([_step(step, described)])}" for step in described.steps)
    rest: dict[str, Any] = {
        "timeout": f"{described.minutes * 60}s",
        "substitutions": {f"_{each.name}": each.default for each in described.variables},
    }
    if described.secrets:
        rest["availableSecrets"] = {
            "secretManager": [
                {"versionName": f"projects/$PROJECT_ID/secrets/{name}/versions/latest", "env": name}
                for name in described.secrets
            ]
        }
    rest["options"] = {
        "machineType": "E2_HIGHCPU_8",
        "diskSizeGb": 200,
        "logging": "CLOUD_LOGGING_ONLY",
        "substitutionOption": "MUST_MATCH",
    }
    if everywhere := [f"{each.in_shell}=$_{each.name}" for each in described.variables if each.everywhere]:
        rest["options"]["env"] = everywhere
    meanings = "".join(f"# _{each.name}: {each.meaning}\n" for each in described.variables)
    first, _, others = as_yaml(rest).partition("substitutions:")
    return f"{header}steps:\n{steps}{first}{meanings}substitutions:{others}"


def triggers(repository: str, included: Iterable[str], ignored: Iterable[str], header: str) -> dict[str, str]:
    """Returns the triggers: name to definition.

    Args:
        repository: that they are of, as Cloud Build calls it.
        included: patterns of files whose change starts a build.
        ignored: patterns of files that start none, even where they are included.
    """
    found = {}
    for name, (flow_name, push, environment) in _TRIGGERS.items():
        content: dict[str, Any] = {
            "name": f"pipeyard-{name}",
            "description": f"Starts the flow {flow_name}.",
            "filename": FILES[flow_name],
            "repositoryEventConfig": {"repository": repository, "push": push},
        }
        if environment:
            content["substitutions"] = {"_ENVIRONMENT": environment}
        if "tag" in push:
            content["approvalConfig"] = {"approvalRequired": True}
        else:  # a tag is a wish to release, whatever changed before it
            content |= {"includedFiles": list(included), "ignoredFiles": list(ignored)}
        found[name] = header + as_yaml(content)
    return found


def _step(step: flow.FlowStep, described: flow.Flow) -> dict[str, Any]:
    content: dict[str, Any] = {"id": step.name, "name": "$_STEP_IMAGE", "waitFor": list(step.needs) or ["-"]}
    env = []
    for name in step.takes:
        own = name == flow.COMMIT
        env.append(f"{name}=${name}" if own else f"{described.variable(name).in_shell}=$_{name}")
    if env:
        content["env"] = env
    if step.secrets:
        content["secretEnv"] = list(step.secrets)
    content["timeout"] = f"{step.minutes * 60}s"
    content["script"] = "\n".join(["#!/bin/sh", "set -eu", *step.commands]) + "\n"
    return content
