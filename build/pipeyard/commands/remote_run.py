"""`pipeyard run` in an environment on a server."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipeyard.deployment.deployed_runs import Started
    from pipeyard.servers.outcome import RunOutcome
    from pipeyard.settings import Environment


# Somebody stopped the run: neither a success nor a failure of a step.
TERMINATED = 4


def run(
    place: "Environment",
    pipeline: str,
    parameters: Mapping[str, Any],
    no_cache: bool,
    wait: bool,
    key: str,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Starts a run of what is deployed, and waits for it if that is asked for.

    Args:
        timeout: seconds; None: as the environment has it.

    Returns:
        The exit code: 1 if it was waited for and didn't succeed, 4 if somebody stopped it.
    """
    from rich.console import Console

    from pipeyard.deployment import deployed_runs

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    started = deployed_runs.start(place, pipeline, parameters, key, False if no_cache else None)
    _warn(console, place, started)
    console.print(f"Run {started.run_id} of {started.record.package} started: {started.page}")
    outcome = None
    if wait:
        limit = place.timeout if timeout is None else timeout
        try:
            outcome = deployed_runs.wait(started, limit, lambda state: console.print(f"{pipeline}: {state}"))
        except KeyboardInterrupt:
            console.print(f"Stopped waiting; the run continues: {started.page}")
            raise
        _tell(console, started, outcome)
    if as_json:
        told = {"run": started.run_id, "page": started.page, "parameters": dict(started.parameters)}
        ended = asdict(outcome) if outcome else {"state": "STARTED"}
        click.echo(json.dumps({**told, "package": started.record.package, **ended}, indent=2))
    else:
        click.echo(started.run_id)
    if outcome is None or outcome.succeeded:
        return 0
    return TERMINATED if outcome.terminated else 1


def _tell(console: Any, started: "Started", outcome: "RunOutcome") -> None:
    for step in outcome.failed:
        ended = "didn't end before the run was stopped" if outcome.terminated else "failed"
        console.print(f"{step.name} {ended}: {step.reason or 'the server does not tell why'}", style="red")
        console.print(f"Its log: {step.log_url}{f' ; or {step.look}' if step.look else ''}")
    if outcome.error:
        console.print(outcome.error)
    stopped = ": somebody stopped it" if outcome.terminated else ""
    console.print(f"Run {started.run_id} {outcome.state} after {outcome.seconds:.0f} s{stopped}.")


def _warn(console: Any, place: "Environment", started: "Started") -> None:
    """Says so if settings.yaml has other parameters, or another deadline or retries, than what is deployed."""
    from pipeyard.deployment import deployed_runs

    differing = deployed_runs.differing(started, place)
    if differing:
        console.print(
            f"warning: settings.yaml has other values of {', '.join(differing)}, which aren't deployed: run `pipeyard "
            f"deploy --env {place.name}` to put them in force."
        )
