"""`pipeyard run`."""

import functools
import os
from pathlib import Path

import click

from pipeyard.commands import find_project, project_option

EXIT_CODES = {"SUCCEEDED": 0, "FAILED": 1, "CANCELED": 130}


@click.command("run")
@click.argument("pipeline")
@click.option("--param", "-p", "params", multiple=True, metavar="NAME=VALUE", help="Set a pipeline parameter.")
@click.option("--env", "environment", default="local", show_default=True, help="Environment of settings.yaml.")
@click.option("--no-cache", is_flag=True, help="Run every step, though it ran before with the same inputs.")
@click.option(
    "--resume", metavar="RUN", is_flag=False, flag_value="latest", help="Go on with a run that failed or was stopped."
)
@click.option(
    "--max-parallel", type=click.IntRange(min=1), default=None, help="Most steps at once; default: one a core."
)
@click.option("--task-timeout", type=click.FloatRange(min=0), default=None, metavar="SECONDS", help="Limit of a step.")
@click.option(
    "--runner",
    "runner_name",
    type=click.Choice(["host", "docker"]),
    default="host",
    show_default=True,
    help="host: in components' environments; docker: in the images of `pipeyard build`.",
)
@click.option(
    "--build",
    "build_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="docker: folder with the build; default: dist/ of the project.",
)
@click.option("--allow-dirty", is_flag=True, help="docker: take images that were built of uncommitted changes.")
@click.option("--network", default="", metavar="NAME", help="docker: the containers' network, e.g. host or none.")
@click.option("--no-prestart", is_flag=True, help="Start no step's interpreter ahead: slower, takes less memory.")
@click.option("--open", "open_report", is_flag=True, help="Open the report in a browser when the run has ended.")
@click.option("--wait", is_flag=True, help="On a server: wait for the run's end, as on this machine.")
@click.option("--key", default="", metavar="KEY", help="On a server: start no second run of the same key.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="On a server: wait this long; default: settings.yaml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the run's record as JSON, and nothing else, on stdout.")
@project_option
def command(
    pipeline: str,
    params: tuple[str, ...],
    environment: str,
    no_cache: bool,
    resume: str | None,
    max_parallel: int | None,
    task_timeout: float | None,
    runner_name: str,
    build_folder: Path | None,
    allow_dirty: bool,
    network: str,
    no_prestart: bool,
    open_report: bool,
    wait: bool,
    key: str,
    timeout: float | None,
    as_json: bool,
    project_folder: Path,
) -> int:
    """Run PIPELINE on this machine, through the specs that would run on Kubeflow Pipelines, or what is deployed of it.

    In an environment with target kfp or vertex it is what `pipeyard deploy` put in force there, with the parameters
    that were deployed. The exit code is 0 when it is started; with --wait 0 only if it succeeded, and 4 if somebody
    stopped it.

    With --runner docker each step is a container of the image that `pipeyard build` made of what is checked out, as it
    would be on a cluster; it sees its inputs and outputs, and what its component declares to read and write outside.

    Exit code: 0 if the run succeeded, 1 if it failed, 130 if it was stopped. A model that isn't blessed is no failure:
    the run succeeds without deploying, and says so.
    """
    from rich.console import Console

    from pipeyard import ir, settings
    from pipeyard.compiling import compiler
    from pipeyard.ir import derivation
    from pipeyard.local import display, runner
    from pipeyard.runs import record, report
    from pipeyard.settings import fit

    if runner_name == "host" and (build_folder or allow_dirty or network):
        raise click.UsageError("--build, --allow-dirty and --network are of --runner docker.")
    project = find_project(project_folder)
    folder = project.pipeline(pipeline)
    place = settings.load(project.root).environment(environment)
    if place.target != "local":
        from pipeyard.commands import remote_run

        for name, given in {
            "--resume": resume,
            "--max-parallel": max_parallel,
            "--task-timeout": task_timeout,
            "--runner docker": runner_name == "docker",
            "--no-prestart": no_prestart,
            "--open": open_report,
        }.items():
            if given:
                raise click.UsageError(f"{name} is of runs on this machine; {environment} is on {place.target}.")
        return remote_run.run(place, pipeline, _parse(params), no_cache, wait, key, timeout, as_json)
    if key or timeout is not None:
        raise click.UsageError("--key and --timeout are of runs on a server.")
    root = Path(place.pipeline_root)
    console = Console(stderr=True)
    shown = display.choose(console)

    specs: dict[Path, Path] = {}
    hosts, launchers = runner.project_hosts(project), None
    if runner_name == "docker":
        from pipeyard.local import containers, engine
        from pipeyard.packages import builds

        build = builds.built(project, build_folder or project.root / "dist", allow_dirty)
        specs = {project.root / "components": build.specs}
        docker = engine.connect()
        hosts = containers.image_hosts(project, build.images, docker, shown.note)
        launchers = functools.partial(containers.Containers, docker, network)

    compiled = compiler.compile_apart(folder, specs)
    for warning in compiled.warnings:
        console.print(f"warning: {warning}", markup=False)
    retries = fit.retries(place, pipeline, compiled.text)
    package = ir.parse(derivation.derive(compiled.text, place.deadline_of(pipeline), retries))
    earlier = _earlier_run(root, resume, package.name) if resume else None
    declared = package.spec.root.input_definitions.parameters
    given = record.load(earlier).parameters if earlier else place.parameters_of(pipeline, declared)

    run, run_folder = runner.run(
        package,
        given | _parse(params),
        root,
        hosts,
        shown,
        runner.Options(not no_cache, max_parallel or os.cpu_count() or 1, task_timeout, not no_prestart),
        resumed=earlier,
        commit=runner.commit_of(project.root),
        environment=environment,
        launchers=launchers,
    )
    page = report.render(run_folder)
    if as_json:
        click.echo(run.model_dump_json(indent=2))
    _conclude(console, run, page, run_folder)
    if open_report:
        from pipeyard.runs.report import browser

        browser.open_report(run_folder)
    return EXIT_CODES[run.state]


def _earlier_run(root: Path, reference: str, pipeline: str) -> Path:
    from pipeyard.errors import PipeyardError
    from pipeyard.runs import record, stored_runs

    folder = stored_runs.find(root, pipeline if reference == "latest" else reference)
    run = record.load(folder)
    if run.pipeline != pipeline:
        raise PipeyardError(f"{folder.name} is a run of {run.pipeline}, not of {pipeline}. Name one of {pipeline}.")
    if run.state == record.State.SUCCEEDED:
        raise PipeyardError(f"{folder.name} succeeded, so there is nothing to resume. Leave --resume out to run again.")
    return folder


def _parse(params: tuple[str, ...]) -> dict[str, object]:
    parsed = {}
    for text in params:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--param {text!r} has no '='. Write it as --param {text}=VALUE.")
        parsed[name] = value
    return parsed


def _conclude(console, run, page: Path, folder: Path) -> None:
    from pipeyard.runs import results
    from pipeyard.runs.record import State

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    failed = [task for task in run.tasks if task.state == State.FAILED]
    for task in failed:
        say(f"\n{task.path} failed: {task.reason}", "red")
        if task.attempts:
            say(f"Its whole log: {folder / task.attempts[-1].log}")
    if run.error and not failed:  # between two steps
        say(f"\n{run.error}", "red")
    if run.state == State.SUCCEEDED:
        verdict = results.verdict(run)
        say(f"\nRun {run.id} {run.state} in {run.seconds:.1f} s.")
        say(f"{verdict.text}: {verdict.detail}" if verdict.detail else verdict.text)
    else:
        say(f"\nRun {run.id} {run.state} after {run.seconds:.1f} s. Go on with it: --resume {run.id}")
    say(f"Report: {page}")
