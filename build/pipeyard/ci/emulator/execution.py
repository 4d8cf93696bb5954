"""A build of a workspace, from its file to its end."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pipeyard.ci import build_config, cloudbuild_rules, documents
from pipeyard.ci.build_config import BuildConfig
from pipeyard.ci.emulator import build_scheduler, processes
from pipeyard.ci.emulator.causes import BuildStart
from pipeyard.errors import PipeyardError

Where = Literal["host", "docker"]


def execute(
    workspace: Path,
    start: BuildStart,
    given: Mapping[str, str],
    where: Where,
    tell: Callable[[build_scheduler.StepResult], None],
    network: str = "",
) -> build_scheduler.Result:
    """Executes a build; logs and scripts are kept beside the workspace.

    Args:
        given: substitutions, over those of `start` and of the build.
        where: see `processes`.
        tell: called for each step, see `runner.run`.
        network: the containers'; '' for the engine's default.

    Raises:
        PipeyardError: Cloud Build would refuse it, a value or a secret is missing, or a step can't be executed here.
    """
    if not (workspace / start.filename).is_file():
        raise PipeyardError(f"{start.filename} isn't in the commit. Commit it; `pipeyard ci cloudbuild` writes it.")
    document = documents.load(workspace / start.filename)
    if findings := cloudbuild_rules.check_build(document, start.triggered):
        raise PipeyardError("Cloud Build would refuse this build, or fail at it:\n" + "\n".join(map(str, findings)))
    content = document.content
    values = build_config.given_values(content, {**start.substitutions, **given}, start.triggered)
    build = build_config.of(content, values, build_config.is_loose(content, start.triggered))
    state = workspace.with_name(f"{workspace.name}.build")
    found = secrets(build, os.environ)
    if where == "host":
        executor: processes.StepExecutor = processes.OnHost(workspace, state / "scripts", os.environ, found)
    else:
        home = state / "home"
        home.mkdir(parents=True, exist_ok=True)
        name = f"pipeyard-ci-{values['BUILD_ID'][:8]}"
        executor = processes.InContainers(
            processes.docker_client(), workspace, state / "scripts", home, os.environ, found, name, network
        )
    return build_scheduler.run(build, executor, state / "logs", tell)


def secrets(build: BuildConfig, variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the secrets of a build's steps, from variables of their names.

    Raises:
        PipeyardError: one isn't set.
    """
    names = sorted({name for step in build.steps for name in step.secrets})
    if missing := [name for name in names if not variables.get(name)]:
        raise PipeyardError(
            f"Steps need the secret {', '.join(missing)}, which Cloud Build takes from its store. Set an environment "
            "variable of that name here."
        )
    return {name: variables[name] for name in names}
