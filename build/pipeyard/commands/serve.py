"""`pipeyard serve`."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.ir import Pipeline
    from pipeyard.repository.project import Project
    from pipeyard.serving.remote_serving import RemoteModel
    from pipeyard.serving.serving_folder import ServingFolder
    from pipeyard.settings import Environment

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("serve")
@click.option(
    "--env", "environment", default="local", show_default=True, metavar="NAME", help="Environment of settings.yaml."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of pushed models; default: the environment's serving_uri.",
)
@project_option
@click.pass_context
def command(context: click.Context, environment: str, folder: Path | None, project_folder: Path) -> None:
    """Serve pushed models on this machine, and roll new versions out.

    A process a version, a router in front, and a supervisor that follows what deploy writes: see docs/serving.md.
    What an environment serves on KServe or Vertex AI is shown by status, and decided by promote and rollback.
    """
    context.obj = _ServeOptions(environment, folder, project_folder)


@command.command("start")
@click.argument("models", nargs=-1)
@click.option("--port", type=click.IntRange(1, 65535), help="Clients' port; default: 8500, or one that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Others need TLS and a token.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate chain, PEM; read again when renewed.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Tokens, one a line; clients have to send one.")
@click.option(
    "--operators-port", type=click.IntRange(1, 65535), help="Of the operators' page; default: one that is free."
)
@click.option("--wait", "seconds", type=click.FloatRange(min=0), default=120, show_default=True, metavar="SECONDS")
@click.option("--log-days", type=click.FloatRange(min=0), default=7, show_default=True, help="How long logs are kept.")
@click.option("--model-server", default="", metavar="COMMAND", help="Another with services/model_server's arguments.")
@click.option("--router", default="", metavar="PATH", help="Another Envoy than that of services/router.")
@click.option("--server-option", "server_options", multiple=True, metavar="OPTION", help="Argument of model servers.")
@click.option(
    "--sample", "rate", type=click.FloatRange(0, 1), default=0, show_default=True, help="Share of requests to keep."
)
@click.option(
    "--sample-without", "without", multiple=True, metavar="COLUMN", help="Column that isn't kept; repeatable."
)
@click.option(
    "--sample-days", type=click.FloatRange(min=0), default=30, show_default=True, help="How long they are kept."
)
@click.option(
    "--sample-megabytes", type=click.IntRange(min=1), default=1000, show_default=True, help="Of a model, at most."
)
@_json
@click.pass_obj
def start_command(place: "_ServeOptions", as_json: bool, seconds: float, **options) -> None:
    """Serve MODELS (default: all that are pushed) until `pipeyard serve stop`, and print how to ask them.

    It returns when they answer; what serves them outlives the terminal. Where they are served already, it says so.
    Requests and answers that are kept are Parquet files in SERVING_URI/.serve/samples/MODEL.
    """
    from pipeyard.serving import start_serving

    folder = place.serving
    asked = place.start_options(**options)
    served = start_serving.start(folder, asked, options["port"], seconds, verbosity.note)
    if served.already:
        verbosity.note(
            "It is served already. Other options than it was started with count after `pipeyard serve stop`."
        )
    for note in served.notes:
        verbosity.note(note)
    if as_json:
        import json

        click.echo(json.dumps(served.state, indent=2))
        return
    models = list(served.state["models"])
    if not models:
        click.echo(f"No model is pushed to {folder.path} yet. It will be served at {served.options.url} when it is.")
    for model in models:
        version = served.state["models"][model]["stable"]
        click.echo(f"Served: version {version} of {model}. Ask it:")
        click.echo(f"  {start_serving.example(served, model)}")
    click.echo(f"Operators' page: {served.options.operators_url} (token: {folder.token})")
    click.echo(f"Stop it: .venv/bin/pipeyard serve{place.options} stop")


@command.command("status")
@_json
@click.pass_obj
def status_command(place: "_ServeOptions", as_json: bool) -> int:
    """Show what is served: versions, shares of the traffic, how rollouts stand.

    Exit code: 1 if nothing is served.
    """
    if place.is_remote:
        return _remote_status(place, as_json)
    from pipeyard.serving import serving_tables

    state, lines = serving_tables.status(place.serving)
    if as_json:
        import json

        click.echo(json.dumps(state, indent=2))
    else:
        click.echo("\n".join(lines))
    return 0 if state else 1


def _remote_status(place: "_ServeOptions", as_json: bool) -> int:
    import json

    from pipeyard.errors import PipeyardError
    from pipeyard.serving import remote_serving

    told, problems = {}, 0
    for model in remote_serving.models(place.project, place.environment, place.compiled):
        try:
            more = ["--json"] if as_json else []
            told[model.name] = _ask(place, model, "status", *more)
        except PipeyardError as error:  # the others are shown all the same
            click.echo(str(error), err=True)
            problems += 1
    if as_json:
        click.echo(json.dumps({name: json.loads(text) for name, text in told.items()}, indent=2))
    else:
        click.echo("\n".join(text.rstrip() for text in told.values()))
    return 0 if told and not problems else 1


def _ask(place: "_ServeOptions", model: "RemoteModel", action: str, *more: str) -> str:
    """Asks deploy's program with the secrets that a run's step gets, and keeps them out of what is printed."""
    import dataclasses
    import os

    from pipeyard.errors import PipeyardError
    from pipeyard.local.hidden_secrets import HiddenSecrets
    from pipeyard.serving import remote_serving

    hidden = HiddenSecrets({"serving_uri": model.serving_uri, "options": model.options}, os.environ)
    given = dataclasses.replace(model, **hidden.parameters())
    try:
        return str(hidden.hide(remote_serving.ask(place.project, given, action, *more, say=verbosity.note)))
    except PipeyardError as error:
        raise PipeyardError(hidden.hide(str(error))) from None


@command.command("stop")
@click.pass_obj
def stop_command(place: "_ServeOptions") -> None:
    """End every process that serves, those that a killed supervisor left, too."""
    from pipeyard.serving import stop_serving

    click.echo("Stopped." if stop_serving.stop(place.serving) else "Nothing is served.")


def _deciding(name: str, text: str) -> None:
    """Adds a command by which somebody decides a rollout."""

    @command.command(name, help=text)
    @click.argument("model")
    @click.option(
        "--version", type=click.IntRange(min=1), help="The candidate that is meant; default: the one there is."
    )
    @click.option("--reason", default="by hand", show_default=True, help="Recorded with the decision.")
    @_json
    @click.pass_obj
    def decide(place: "_ServeOptions", model: str, version: int | None, reason: str, as_json: bool) -> None:
        if place.is_remote:
            _decide_remotely(place, model, name, version, reason, as_json)
            return
        from pipeyard.serving import operating, start_serving

        change = {"promote": operating.promote, "rollback": operating.roll_back}[name]
        new = change(place.serving, model, version, reason)
        if as_json:
            click.echo(new.to_text(), nl=False)
            return
        click.echo(f"Version {new.stable} of {model} is stable.")
        if new.target != "local":
            click.echo(f"{new.target} serves it. {operating.NEXT.format(uri=place.serving.path, model=model)}")
        elif not start_serving.is_served(place.serving):
            click.echo("Nothing is served now: it counts from the next `pipeyard serve start` on.")


def _decide_remotely(
    place: "_ServeOptions", model: str, action: str, version: int | None, reason: str, as_json: bool
) -> None:
    from pipeyard.serving import remote_serving

    found = remote_serving.find(place.project, place.environment, place.compiled, model)
    more = [f"--reason={reason}", *([f"--version={version}"] if version is not None else [])]
    more += ["--json"] if as_json else []
    click.echo(_ask(place, found, action, *more), nl=False)


_deciding("promote", "Give the candidate of MODEL all traffic: it is the stable version from now on.")
_deciding("rollback", "Give the stable version of MODEL all traffic, and end the candidate.")


@command.command("logs")
@click.argument("name", default="")
@click.option("--lines", type=click.IntRange(min=1), default=40, show_default=True, help="How many, of the end.")
@click.option("--remove", is_flag=True, help="Remove the logs of what doesn't run.")
@click.pass_obj
def logs_command(place: "_ServeOptions", name: str, lines: int, remove: bool) -> None:
    """Show the end of the log NAME: supervisor, router, or MODEL/VERSION; without a name, which logs there are."""
    from pipeyard.serving import serving_tables

    for line in serving_tables.logs_of(place.serving, name, lines, remove):
        click.echo(line)


@command.command("forget")
@click.argument("model")
@click.option("--older-than", default="", metavar="TIME", help="Only what was written more than 6h, 30d ... ago.")
@_json
@click.pass_obj
def forget_command(place: "_ServeOptions", model: str, older_than: str, as_json: bool) -> None:
    """Remove what is kept of the requests to MODEL: samples, labels, and what monitor made of them.

    Also while it is served; what a server hasn't written yet comes within half a minute. Logs have none of it.
    """
    from pipeyard.serving import kept_requests
    from pipeyard.settings import durations

    removed = kept_requests.remove(place.serving, model, durations.of_option("--older-than", older_than))
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps(dataclasses.asdict(removed), indent=2))
        return
    click.echo(f"Removed {removed.files} files of {model}, {removed.bytes:,} bytes.")


@command.command("monitor")
@click.argument("model")
@click.option("--version", type=click.IntRange(min=1), help="Whose requests; default: the stable version.")
@click.option(
    "--last", default="", metavar="TIME", help="Take requests of the last 6h, 1d ...; default: all there are."
)
@click.option("--schema", default="", metavar="URI", help="Schema to check against; default: inferred of the requests.")
@click.option(
    "--schema-environment", default="", metavar="NAME", help="Of the schema: what requests have, e.g. SERVING."
)
@click.option(
    "--threshold", type=click.FloatRange(min=0), default=0.25, show_default=True, help="Distance that is an anomaly."
)
@_json
@click.pass_obj
def monitor_command(place: "_ServeOptions", model: str, version: int | None, as_json: bool, **options) -> None:
    """Compare sampled requests of MODEL with what it was trained on, and with those compared before.

    By extract and data_validation. Triggers of kind drift read the statistics that it leaves: see docs/serving.md.
    """
    from pipeyard.serving import live_monitoring

    found = live_monitoring.compare(
        place.project,
        place.serving,
        live_monitoring.version_of(place.serving, model, version),
        live_monitoring.read_options(**options),
        verbosity.note,
    )
    if as_json:
        import json

        click.echo(json.dumps(found.to_json(), indent=2))
        return
    for line in found.lines:
        click.echo(line)
    click.echo(f"Version {found.version.number} of {model}. Report: {found.folder / 'report.html'}")
    click.echo(f"Statistics, for a drift trigger: {found.folder / 'statistics'}")


@command.command("labels")
@click.argument("model")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--metric", type=click.Choice(["accuracy", "negative_error", "value"]), help="Default: by the answers.")
@_json
@click.pass_obj
def labels_command(place: "_ServeOptions", model: str, file: Path, metric: str | None, as_json: bool) -> None:
    """Join labels in FILE (Parquet, CSV, JSON Lines) with sampled answers of MODEL, and compare its versions.

    Columns: request_id, label; row (of a request with several), key (what stays with one version, e.g. a user). The
    metric is a mean, higher is better: right classes, the negative absolute error, or the label itself. The rollout
    under way is decided by it, too; quality triggers read metrics.json in SERVING_URI/.serve/monitoring/MODEL.
    """
    from pipeyard.serving import delayed_labels, live_monitoring, serving_tables

    version = live_monitoring.version_of(place.serving, model)
    found = delayed_labels.take(place.serving, version, file, metric or "")
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    for line in serving_tables.labelled(found):
        click.echo(line)


@command.command("report")
@click.argument("model")
@click.option("--version", type=click.IntRange(min=1), help="The candidate whose rollout it is; default: the last one.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where the page goes.")
@click.pass_obj
def report_command(place: "_ServeOptions", model: str, version: int | None, out: Path | None) -> None:
    """Write how a rollout of MODEL went, as one HTML page: traffic, errors, latency, scores, labels, the decision.

    Where the run that staged the version is on this machine, its report links to the page.
    """
    from pipeyard.serving import rollout_evidence, rollout_report, serving_tables

    found = rollout_evidence.gather(place.serving, serving_tables.looks_of(place.serving, model), version)
    page, run = rollout_report.write(place.serving, found, out, place.runs)
    click.echo(f"Report: {page}")
    if run:
        click.echo(f"Linked from: {run}")


@command.command("replay")
@click.argument("log")
@click.option("--policy", default="", metavar="JSON", help="Decide by another policy than the logged one.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the course as an HTML page.")
@_json
@click.pass_obj
def replay_command(place: "_ServeOptions", log: str, policy: str, plot: Path | None, as_json: bool) -> int:
    """Decide the rollouts in a LOG, a model's name or a file, again, look by look.

    Exit code: 1 if something is decided otherwise than the log has it.
    """
    from pipeyard.serving import rollout_replay, serving_tables

    path = Path(log) if Path(log).is_file() else serving_tables.looks_of(place.serving, log)
    replayed = rollout_replay.replay(path, policy)
    if plot:
        rollout_replay.write_plot(replayed, plot)
    for line in rollout_replay.as_json(replayed) if as_json else rollout_replay.as_text(replayed):
        click.echo(line)
    differing = sum(each.differing for each in replayed)
    verbosity.note(f"{sum(len(each.looks) for each in replayed)} looks, {differing} decided otherwise.")
    return 1 if differing else 0


class _ServeOptions:
    """What the group's options name."""

    def __init__(self, environment: str, folder: Path | None, project: Path) -> None:
        self._name, self._folder, self._project_folder = environment, folder, project

    @cached_property
    def project(self) -> "Project":
        return find_project(self._project_folder)

    @cached_property
    def serving(self) -> "ServingFolder":
        from pipeyard.serving import serving_folder

        return serving_folder.find(self._folder, lambda: self.project.root, self._name)

    @cached_property
    def environment(self) -> "Environment":
        from pipeyard import settings

        return settings.load(self.project.root).environment(self._name)

    def compiled(self, pipeline: str) -> "Pipeline":
        from pipeyard.checks import parameters

        return parameters.compiled(self.project, pipeline)

    @property
    def is_remote(self) -> bool:
        """Whether models of the environment are served elsewhere; never where a folder is given."""
        if self._folder:
            return False
        from pipeyard.serving import remote_serving

        return remote_serving.is_remote(self.environment)

    @property
    def runs(self) -> Path | None:
        """Folder of the environment's runs; None if it isn't one of this machine."""
        if self._folder:
            return None
        root = self.environment.pipeline_root
        return Path(root) if root and "://" not in root else None

    @property
    def options(self) -> str:
        """The group's options, as a command line has them."""
        import shlex

        if self._folder:
            return f" --folder {shlex.quote(str(self._folder))}"
        return "" if self._name == "local" else f" --env {self._name}"

    def start_options(self, models, port, operators_port, log_days, model_server, router, server_options, **others):
        import shlex

        from pipeyard.errors import PipeyardError, near_misses
        from pipeyard.serving import router_access, sampling, serving_programs, start_serving
        from pipeyard.serving.start_options import StartOptions

        there = self.serving.models()
        for name in models:
            if name not in there:
                raise PipeyardError(f"No model {name!r} is in {self.serving.path}. {near_misses(name, there)}")
        access = router_access.checked(others["host"], others["tls_cert"], others["tls_key"], others["token_file"])
        sampling.check(others["without"], self.serving, models or there)
        project = self.project
        if model_server:
            server = serving_programs.other_server(shlex.split(model_server))
        else:
            server = serving_programs.model_server(project, verbosity.note)
        promotion = serving_programs.promotion(project)
        return StartOptions(
            port or start_serving.DEFAULT_PORT,
            operators_port or 0,
            str(Path(router).absolute()) if router else serving_programs.envoy(project, verbosity.note),
            server.command,
            models,
            tuple(server_options),
            server.env,
            promotion.command,
            promotion.env,
            log_days,
            sampling.LiveSampling(others["rate"], others["without"], others["sample_days"], others["sample_megabytes"]),
            access,
        )
