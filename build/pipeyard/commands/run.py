"""`pipeyard run`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeyard.commands import find_project, project_option

if TYPE_CHECKING:
    from pipeyard.settings import Environment


@dataclass(frozen=True)
class RunOptions:
    """The command's options: of all runs, of those on a server (`wait`, `key`, `timeout`), of those on this machine."""

    no_cache: bool
    as_json: bool
    wait: bool
    key: str
    timeout: float | None
    open_report: bool
    resume: str | None
    max_parallel: int | None
    task_timeout: float | None
    runner_name: str
    build_folder: Path | None
    allow_dirty: bool
    network: str
    no_prestart: bool
    no_check: bool
    fail_on: str | None

    @property
    def docker(self) -> bool:
        """Whether steps run in containers."""
        return self.runner_name == "docker"


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
@click.option("--no-check", is_flag=True, help="Don't ask the components' programs about their parameters first.")
@click.option(
    "--fail-on",
    type=click.Choice(["not-deployed"]),
    help="Exit with 5 if the run succeeds without deploying a model, as for bad data or one that isn't blessed.",
)
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
def command(pipeline: str, params: tuple[str, ...], environment: str, project_folder: Path, **options: Any) -> int:
    """Run PIPELINE on this machine, through the specs that would run on Kubeflow Pipelines, or what is deployed of it.

    In an environment with target kfp or vertex it is what `pipeyard deploy` put in force there, with the parameters
    that were deployed. The exit code is 0 when it is started; with --wait 0 only if it succeeded, and 4 if somebody
    stopped it.

    With --runner docker each step is a container of the image that `pipeyard build` made of what is checked out, as it
    would be on a cluster; it sees its inputs and outputs, and what its component declares to read and write outside.

    Exit code: 0 if the run succeeded, 1 if it failed, 130 if it was stopped. A model that isn't blessed is no failure:
    the run succeeds without deploying, and says so; with --fail-on not-deployed by exit code 5, too.
    """
    from pipeyard import settings
    from pipeyard.commands import local_run, remote_run

    asked = RunOptions(**options)
    if not asked.docker and (asked.build_folder or asked.allow_dirty or asked.network):
        raise click.UsageError("--build, --allow-dirty and --network need --runner docker.")
    project = find_project(project_folder)
    project.pipeline(pipeline)
    place = settings.load(project.root).environment(environment)
    _refuse_others(place, asked)
    if place.on_server:
        return remote_run.run(place, pipeline, parse_parameters(params), asked)
    return local_run.run(project, place, pipeline, parse_parameters(params), asked)


def _refuse_others(place: "Environment", asked: RunOptions) -> None:
    """Raises UsageError for an option of runs that are elsewhere."""
    if not place.on_server:
        if asked.key or asked.timeout is not None:
            raise click.UsageError("--key and --timeout apply to runs on a server.")
        return
    for name, given in {
        "--resume": asked.resume,
        "--max-parallel": asked.max_parallel,
        "--task-timeout": asked.task_timeout,
        "--runner docker": asked.docker,
        "--no-prestart": asked.no_prestart,
        "--no-check": asked.no_check,
        "--open": asked.open_report,
        "--fail-on": asked.fail_on,
    }.items():
        if given:
            raise click.UsageError(f"{name} applies to runs on this machine; {place.name} is on {place.target}.")


def parse_parameters(params: tuple[str, ...]) -> dict[str, object]:
    """Returns the values of --param.

    Raises:
        click.UsageError: one has no '='.
    """
    parsed: dict[str, object] = {}
    for text in params:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--param {text!r} has no '='. Write it as --param {text}=VALUE.")
        parsed[name] = value
    return parsed
