"""`pipeyard run` on this machine."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from pipeyard.system import verbosity

if TYPE_CHECKING:
    from rich.console import Console

    from pipeyard.commands.run import RunOptions
    from pipeyard.deployment.targets.local import LocalRun, Manner
    from pipeyard.repository.project import Project
    from pipeyard.settings import Environment

EXIT_CODES = {"SUCCEEDED": 0, "FAILED": 1, "CANCELED": 130}
# With --fail-on not-deployed: the run succeeded, and no model is deployed.
NOT_DEPLOYED = 5


def run(
    project: "Project", place: "Environment", pipeline: str, parameters: Mapping[str, Any], asked: "RunOptions"
) -> int:
    """Runs what is checked out to its end, and tells how that was.

    Returns:
        The exit code: 1 if it failed, 130 if it was stopped, `NOT_DEPLOYED` if it was to fail on that.
    """
    from rich.console import Console

    from pipeyard.deployment.targets import local
    from pipeyard.runs import results

    console = Console(stderr=True)
    target = local.OnThisMachine(place, project, _manner(project, asked))
    ran = target.start(pipeline, parameters, caching=False if asked.no_cache else None)
    if asked.as_json:
        click.echo(ran.record.model_dump_json(indent=2))
    _conclude(console, ran)
    if asked.open_report:
        from pipeyard.runs.report import browser

        browser.open_report(ran.folder)
    code = EXIT_CODES[ran.record.state]
    if code == 0 and asked.fail_on == "not-deployed" and not results.pushed(ran.record):
        reason = results.why_not_deployed(ran.record) or "the pipeline has no step that deploys"
        console.print(f"Exit code {NOT_DEPLOYED}, as nothing was deployed: {reason}.", markup=False, soft_wrap=True)
        return NOT_DEPLOYED
    return code


def _manner(project: "Project", asked: "RunOptions") -> "Manner":
    from pipeyard.deployment.targets import local
    from pipeyard.local import display, runner

    manner = local.Manner(
        runner.Options(
            max_parallel=asked.max_parallel or os.cpu_count() or 1,
            task_timeout_seconds=asked.task_timeout,
            prestart=not asked.no_prestart,
        ),
        resume=asked.resume or "",
        ask=not asked.no_check,
        shown=display.choose(verbosity.console()),
        warn=lambda warning: verbosity.note(f"warning: {warning}"),
    )
    if not asked.docker:
        return manner
    dist = asked.build_folder or project.root / "dist"
    return local.in_containers(manner, project, dist, asked.allow_dirty, asked.network)


def _conclude(console: "Console", ran: "LocalRun") -> None:
    from pipeyard.runs import results
    from pipeyard.runs.record import State

    record, folder = ran.record, ran.folder

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    failed = [task for task in record.tasks if task.state == State.FAILED]
    for task in failed:
        say(f"\n{task.path} failed: {task.reason}", "red")
        if task.attempts:
            say(f"Its whole log: {folder / task.attempts[-1].log}")
    if record.error and not failed:  # between two steps
        say(f"\n{record.error}", "red")
    if record.state == State.SUCCEEDED:
        verdict = results.verdict(record)
        say(f"\nRun {record.id} {record.state} in {record.seconds:.1f} s.")
        say(f"{verdict.text}: {verdict.detail}" if verdict.detail else verdict.text)
        found, count = results.anomalies(record)
        for anomaly in found:
            say(f"  {anomaly}", "yellow")
        if count > len(found) > 0:
            say(f"  and {count - len(found)} more, which the report has")
    else:
        say(f"\nRun {record.id} {record.state} after {record.seconds:.1f} s. Go on with it: --resume {record.id}")
    say(f"Report: {ran.page}")
