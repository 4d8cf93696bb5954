"""`pipeyard run` in an environment on a server."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.commands.run import RunOptions
    from pipeyard.deployment.targets.server import DeployedRun
    from pipeyard.servers.outcome import RunOutcome
    from pipeyard.settings import Environment


# Somebody stopped the run: neither a success nor a failure of a step.
TERMINATED = 4


def run(
    place: "Environment",
    pipeline: str,
    parameters: Mapping[str, Any],
    asked: "RunOptions",
) -> int:
    """Starts a run of what is deployed, and waits for it if that is asked for.

    Returns:
        The exit code: 1 if it was waited for and didn't succeed, 4 if somebody stopped it.
    """
    from rich.console import Console

    from pipeyard.deployment.targets import choice

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    runs = choice.server_of(place)(place)
    started = runs.start(pipeline, parameters, asked.key, False if asked.no_cache else None)
    _warn(place, started)
    package = started.deployed.record.package
    console.print(f"Run {started.run_id} of {package} started: {started.page}")
    outcome = None
    if asked.wait:
        limit = place.timeout if asked.timeout is None else asked.timeout
        try:
            outcome = runs.wait(started.run_id, limit, lambda state: verbosity.note(f"{pipeline}: {state}"))
        except KeyboardInterrupt:
            console.print(f"Stopped waiting; the run continues: {started.page}")
            raise
        _tell(console, started, outcome)
    if asked.as_json:
        told = {"run": started.run_id, "page": started.page, "parameters": dict(started.parameters)}
        ended = asdict(outcome) if outcome else {"state": "STARTED"}
        click.echo(json.dumps({**told, "package": package, **ended}, indent=2))
    else:
        click.echo(started.run_id)
    if outcome is None or outcome.succeeded:
        return 0
    return TERMINATED if outcome.terminated else 1


def _tell(console: Any, started: "DeployedRun", outcome: "RunOutcome") -> None:
    for step in outcome.failed:
        ended = "didn't end before the run was stopped" if outcome.terminated else "failed"
        console.print(f"{step.name} {ended}: {step.reason or 'the server does not tell why'}", style="red")
        console.print(f"Its log: {step.log_url}{f' ; or {step.look}' if step.look else ''}")
    if outcome.error:
        console.print(outcome.error)
    stopped = ": somebody stopped it" if outcome.terminated else ""
    console.print(f"Run {started.run_id} {outcome.state} after {outcome.seconds:.0f} s{stopped}.")


def _warn(place: "Environment", started: "DeployedRun") -> None:
    """Says so if settings.yaml has other parameters, or another deadline or retries, than what is deployed."""
    from pipeyard.deployment import deployed_runs

    differing = deployed_runs.differing(started.deployed, place)
    if differing:
        verbosity.note(
            f"warning: settings.yaml has other values of {', '.join(differing)}, which aren't deployed: run `pipeyard "
            f"deploy --env {place.name}` to put them in force."
        )
