"""`pipeyard trigger`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

_dry = click.option("--dry-run", is_flag=True, help="Print what would be decided; keep and start nothing.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_one = click.argument("trigger", default="", metavar="[PIPELINE[/TRIGGER]]")


@click.group("trigger")
@click.option(
    "--env", "environment", default="", metavar="NAME", help="Environment of settings.yaml; there is no default."
)
@click.option("--state", default="", metavar="PLACE", help="Folder or gs://BUCKET/PREFIX with the triggers' states.")
@project_option
@click.pass_context
def command(context: click.Context, environment: str, state: str, project_folder: Path) -> None:
    """Start runs by what happened: new files, drift, worse metrics, another run's end.

    The triggers are those of the environment in settings.yaml. All go through one decision, which knows earlier
    events: see docs/triggers.md. Where the environment is this machine, the run is waited for.

    Exit code: 0 if it was decided, whether or not a run was started; 1 if a run couldn't be started, or failed here.
    """
    context.obj = _TriggerOptions(environment, state, project_folder)


@command.command("event")
@click.argument("file", type=click.Path(allow_dash=True))
@click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header of the request whose body FILE is.",
)
@_dry
@_json
@click.pass_obj
def event_command(place, file: str, headers: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Print what a FILE (- for the standard input) says: a request's body as Cloud Storage, Pub/Sub, Eventarc send it.

    What a binary CloudEvent says stands in headers: give its `ce-` ones.
    """
    from datetime import UTC, datetime

    from pipeyard.triggers import events

    named = {}
    for text in headers:
        name, separator, value = text.partition(":")
        if not separator:
            raise click.UsageError(f"--header {text!r} has no ':'. Write it as --header '{text}: VALUE'.")
        named[name.strip()] = value.strip()
    triggers = place.triggers(dry_run)
    with click.open_file(file, "rb") as opened:
        body = opened.read()
    try:
        event = events.parse(named, body, datetime.now(UTC))
    except events.Ignored as ignored:
        verbosity.note(f"It starts nothing: {ignored}.")
        return 0
    told = triggers.tell(event)
    if not told:
        verbosity.note(f"No trigger of {triggers.environment.name} wants {event.subject or event.kind}.")
    return place.show(told, as_json)


def _looking(name: str, text: str) -> None:
    """Adds a command that makes the triggers of a kind look."""

    @command.command(name, help=text)
    @_one
    @_dry
    @_json
    @click.pass_obj
    def look(place, trigger: str, dry_run: bool, as_json: bool) -> int:
        from pipeyard.triggers import routing
        from pipeyard.triggers.domain import EventKind

        triggers = place.triggers(dry_run)
        return place.show(triggers.look(routing.named(triggers.environment, trigger, (EventKind(name),))), as_json)


_looking("drift", "Compare new data's statistics with the last training run's.")
_looking("quality", "Compare the served model's metrics with their bounds.")
_looking("completion", "Look for runs of other pipelines that succeeded.")


@command.command("tick")
@_one
@_dry
@_json
@click.pass_obj
def tick_command(place, trigger: str, dry_run: bool, as_json: bool) -> int:
    """Start what waits for a cool-down, a cap, or a server that was down; look for drift, metrics and other runs.

    Run it regularly: see docs/triggers.md.
    """
    from pipeyard.triggers import routing

    triggers = place.triggers(dry_run)
    return place.show(triggers.look(routing.named(triggers.environment, trigger)), as_json)


@command.command("show")
@_one
@click.option("--log", "as_log", is_flag=True, help="Print the decisions as JSON Lines, as `replay` reads them.")
@_json
@click.pass_obj
def show_command(place, trigger: str, as_log: bool, as_json: bool) -> None:
    """Show what triggers decided lately and why, what they started, and what waits."""
    from pipeyard.triggers import routing, state

    environment = place.triggers().environment
    found = {
        str(route): state.read(routing.store(environment, route, place.state))
        for route in routing.named(environment, trigger)
    }
    if as_json:
        import json

        click.echo(json.dumps({name: known.model_dump(mode="json") for name, known in found.items()}, indent=2))
        return
    for name, known in found.items():
        if not as_log:
            starts = (
                ", ".join(each.run or f"{each.key} (not yet: {each.problem})" for each in known.starts) or "nothing"
            )
            click.echo(f"{name}: {len(known.held)} held, {len(known.due)} due; lately started: {starts}")
        for entry in known.history:
            shown = f"  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.code:10}  {entry.reason}"
            click.echo(entry.model_dump_json() if as_log else shown)


@command.command("replay")
@click.argument("log", type=click.Path(allow_dash=True))
@click.option("--trigger", default="", metavar="PIPELINE/TRIGGER", help="Whose policy decides; default: the only one.")
@_json
@click.pass_obj
def replay_command(place, log: str, trigger: str, as_json: bool) -> int:
    """Decide on a LOG of `show --log` again, by the policy that settings.yaml has now; nothing is kept or started.

    Exit code: 1 if something is decided otherwise than the log has it.
    """
    from pipeyard.errors import PipeyardError
    from pipeyard.triggers import replay, routing

    environment = place.triggers().environment
    routes = routing.named(environment, trigger)
    if len(routes) != 1:
        raise PipeyardError(f"Whose policy is to decide? Choose with --trigger: {', '.join(map(str, routes))}.")
    with click.open_file(log, encoding="utf-8") as opened:
        entries = replay.read(opened, log)
    replayed = replay.replay(entries, routes[0].policy)
    for each in replayed:
        if as_json:
            click.echo(each.decision.model_dump_json(exclude={"state"}))
            continue
        before = f"  (was: {each.entry.code})" if each.differs else ""
        click.echo(f"{each.entry.at:%Y-%m-%d %H:%M:%S}  {each.decision.code:10}  {each.decision.reason}{before}")
    differing = sum(each.differs for each in replayed)
    starts = sum(each.decision.start for each in replayed)
    verbosity.note(f"{len(replayed)} events, {starts} runs, {differing} decided otherwise.")
    return 1 if differing else 0


@command.command("scheduler")
@click.option("--url", required=True, help="The Cloud Function's.")
@click.option("--account", required=True, metavar="EMAIL", help="Service account that may invoke it.")
@click.option("--location", default="", metavar="projects/P/locations/R", help="Default: the Vertex environment's.")
@click.option("--every", default="*/15 * * * *", show_default=True, metavar="CRON", help="How often triggers look.")
@click.option(
    "--output", "-o", type=click.Path(file_okay=False, path_type=Path), help="Write a file a job; default: print all."
)
@click.option("--apply", is_flag=True, help="Create the jobs, or update those that differ.")
@click.option("--api", default="", metavar="URL", help="Of Cloud Scheduler; default: Google's.")
@click.pass_obj
def scheduler_command(
    place, url: str, account: str, location: str, every: str, output: Path | None, apply: bool, api: str
) -> None:
    """Define Cloud Scheduler's jobs: one that makes triggers look, and one a schedule that isn't `enabled`.

    Those that are enabled `pipeyard deploy` makes on the server: a pipeline has the one or the other.
    """
    from pipeyard.triggers import scheduler_jobs

    jobs = scheduler_jobs.jobs(place.triggers().environment, url, account, location, every)
    if apply:
        for line in scheduler_jobs.apply(jobs, api or scheduler_jobs.API):
            click.echo(line)
        return
    for name, text in jobs.items():
        if output is None:
            click.echo(text, nl=False)
            continue
        output.mkdir(parents=True, exist_ok=True)
        (output / f"{name}.json").write_text(text, encoding="utf-8")
        click.echo(str(output / f"{name}.json"))


@command.command("package")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def package_command(place, folder: Path) -> None:
    """Put the Cloud Function's source together in a FOLDER: main.py, settings.yaml, pipeyard, and what it needs."""
    from pipeyard.triggers import function

    for path in function.write(place.project, folder):
        click.echo(str(path))


class _TriggerOptions:
    """What the group's options name."""

    def __init__(self, environment: str, state: str, folder: Path) -> None:
        self._environment, self.state, self._folder = environment, state, folder

    @property
    def project(self):
        return find_project(self._folder)

    def triggers(self, dry: bool = False):
        from pipeyard import settings
        from pipeyard.errors import PipeyardError
        from pipeyard.triggers import starting
        from pipeyard.triggers.dispatch import Triggers

        loaded = settings.load(self.project.root)
        if not self._environment:
            raise PipeyardError(f"Which environment? Give --env, one of: {', '.join(loaded.names)}.")
        environment = loaded.environment(self._environment)
        return Triggers(environment, loaded.environment, starting.launcher(self.project), self.state, dry)

    def show(self, told, as_json: bool) -> int:
        """Prints what was decided, and returns the exit code."""
        failed = [run for each in told for run in each.started.values() if self._failed(run)]
        if as_json:
            import dataclasses
            import json

            click.echo(json.dumps([dataclasses.asdict(each) for each in told], indent=2))
        else:
            for each in told:
                click.echo(f"{each.trigger}: {each.code}: {each.reason}")
                for line in each.measured:
                    click.echo(f"  {line}")
                for key, run in each.started.items():
                    click.echo(f"  started {run} for {key}")
                for problem in each.problems.values():
                    click.echo(f"  {problem}", err=True)
        for run in failed:
            click.echo(f"The run {run} failed; look at it: pipeyard runs show {run}", err=True)
        return 1 if failed or any(each.problems for each in told) else 0

    def _failed(self, run: str) -> bool:
        environment = self.triggers().environment
        if environment.on_server:
            return False
        from pipeyard.runs import record

        state = record.load(Path(environment.pipeline_root) / run).state
        return state.ended and state != record.State.SUCCEEDED  # another process may be at it still
