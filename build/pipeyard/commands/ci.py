"""`pipeyard ci`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.ci.emulator.build_scheduler import Result, StepResult
    from pipeyard.ci.emulator.execution import Where

EXIT_CODES = {"SUCCESS": 0, "CANCELLED": 130}
_TAIL_LINES = 40


@click.group("ci")
def command() -> None:
    """Render, lint and try what CI servers do from a commit to a pipeline that runs."""


def _renders(server: str, files: str):
    @command.command(server, help=f"Write {files}, as the flow and the tree have them.")
    @click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file isn't what would be written.")
    @project_option
    def render(check: bool, project_folder: Path) -> int:
        from pipeyard.ci import rendered_files
        from pipeyard.system import files as whole

        project = find_project(project_folder)
        stale = rendered_files.stale(project, server)
        for name, text in stale.items():
            if check:
                click.echo(f"{name} isn't what is rendered. Run `pipeyard ci {server}`.", err=True)
                continue
            (project.root / name).parent.mkdir(parents=True, exist_ok=True)
            whole.write_whole(project.root / name, text)
            click.echo(f"wrote {name}")
        return 1 if stale and check else 0

    return render


_renders("cloudbuild", "cloudbuild.yaml, cloudbuild.development.yaml and triggers/cloud-build/")
_renders("jenkins", "Jenkinsfile")
_renders("github", ".github/workflows/pipeyard.yaml")


@command.command("lint")
@click.argument("files", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of {part, check, problem, remedy}.")
@project_option
def lint_command(files: tuple[str, ...], as_json: bool, project_folder: Path) -> int:
    """Check FILES, builds of Cloud Build's; default: all that is rendered, with triggers and whether it is current.

    By Cloud Build's own messages, strictly, and for what they let through. Exit code 1 if there is anything to mend.
    """
    import dataclasses
    import json

    from pipeyard.ci import linter

    found = linter.check(find_project(project_folder), files)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    else:
        for each in found:
            click.echo(str(each))
        verbosity.note(f"{len(found)} to mend." if found else "Nothing to mend.")
    return 1 if found else 0


@command.command("values")
@click.argument("flow_name", metavar="FLOW", type=click.Choice(["delivery", "development"]))
@project_option
def values_command(flow_name: str, project_folder: Path) -> None:
    """Check the variables that steps of FLOW go by: forms, pipelines, the environment, its settings and parameters."""
    import os

    from pipeyard import settings
    from pipeyard.ci import flow
    from pipeyard.errors import PipeyardError

    project = find_project(project_folder)
    described = flow.delivery(project) if flow_name == flow.DELIVERY else flow.development(project)
    loaded = settings.load(project.root)
    remote = [name for name in loaded.names if loaded.targets.get(name) != "local"]
    given = {each.name: os.environ[each.in_shell] for each in described.variables if each.in_shell in os.environ}
    flow.check_values(described, given, remote, list(project.pipelines))
    if "ENVIRONMENT" not in given:
        return
    try:
        place = loaded.environment(given["ENVIRONMENT"])
    except PipeyardError as error:
        if not (unset := loaded.unset(given["ENVIRONMENT"])):
            raise
        given_as = " ".join(f"-s _{name}=..." for name in unset)
        raise PipeyardError(
            f"{error}\nA build sets these itself, by substitutions: `pipeyard ci run {given_as}`, or write values into "
            "[tool.pipeyard.ci.variables] of pyproject.toml and render; see docs/ci.md."
        ) from error
    from pipeyard.checks import parameters

    parameters.check(project, place)


@command.command("once", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@project_option
def once_command(name: str, arguments: tuple[str, ...], project_folder: Path) -> int:
    """Run COMMAND, unless it succeeded in this clone on the very content that is checked out.

    NAME tells commands apart. With uncommitted changes it always runs. Exit code: the command's; 0 if it needn't run.
    """
    import subprocess

    from pipeyard.ci import passed
    from pipeyard.errors import PipeyardError

    root = find_project(project_folder).root
    before = passed.subject(root, name)
    if before.has_passed(arguments):
        click.echo(
            f"{name}: passed before on this content ({before.tree[:12]}). To run it again, remove {before.record}"
        )
        return 0
    try:
        code = subprocess.run(arguments, cwd=root, check=False).returncode
    except OSError as error:
        raise PipeyardError(
            f"{arguments[0]} can't be run: {error.strerror}. Give a program's path, or one on PATH."
        ) from error
    if code == 0 and passed.subject(root, name) == before:
        before.passed(arguments)
    return code


@command.command("starts")
@click.option("--since", required=True, metavar="REV", help="Commit that the branch or tag was at before.")
@click.option("--branch", default="", help="Branch that is pushed.")
@click.option("--tag", default="", help="Tag that is pushed.")
@click.option("--json", "as_json", is_flag=True, help="Print {trigger: {starts, reason}} as JSON.")
@project_option
def starts_command(since: str, branch: str, tag: str, as_json: bool, project_folder: Path) -> None:
    """Show which triggers a push of the changes since REV starts, and why."""
    import json

    from pipeyard.ci import cloudbuild, documents, push_triggers
    from pipeyard.repository import changes

    if bool(branch) == bool(tag):
        raise click.UsageError("Give --branch or --tag.")
    project = find_project(project_folder)
    files = changes.changed_files(changes.git_of(project.root), since)
    told = {}
    for path in sorted((project.root / cloudbuild.TRIGGERS).glob("*.yaml")):
        content = documents.load(path).content
        begins, reason = push_triggers.starts(content, "branch" if branch else "tag", branch or tag, files)
        told[path.stem] = {"starts": begins, "reason": reason}
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for name, each in told.items():
        click.echo(f"{name:16} {'starts' if each['starts'] else '-':8} {each['reason']}")


@command.command("run")
@click.option("--trigger", "trigger_name", default="", metavar="NAME", help="As this trigger would; default: by hand.")
@click.option("--ref", default="", metavar="NAME", help="Branch or tag that is as if pushed; default: what is here.")
@click.option("--file", "filename", default="", help="By hand: the build; default: cloudbuild.yaml.")
@click.option(
    "--substitution",
    "-s",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a substitution.",
)
@click.option(
    "--steps",
    "where",
    type=click.Choice(["host", "docker"]),
    default="host",
    show_default=True,
    help="host: processes of this machine; docker: containers of the steps' images.",
)
@click.option("--network", default="", metavar="NAME", help="docker: the containers' network.")
@click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to build in; default: runs/.ci/workspace of the project, which keeps environments for the next build.",
)
@click.option("--json", "as_json", is_flag=True, help="Print {status, seconds, steps} as JSON.")
@project_option
def run_command(
    trigger_name: str,
    ref: str,
    filename: str,
    given: tuple[str, ...],
    where: "Where",
    network: str,
    workspace: Path | None,
    as_json: bool,
    project_folder: Path,
) -> int:
    """Execute cloudbuild.yaml on this machine as Cloud Build would: for the commit that is checked out.

    By hand, as by `gcloud builds submit`, what isn't committed goes along, and $COMMIT_SHA is empty. Secrets are taken
    from environment variables of their names. Exit code: 0 if it succeeded, 1 if not, 130 if it was stopped.
    """
    import signal

    from rich.console import Console

    from pipeyard.ci.emulator import causes, execution, workspaces
    from pipeyard.repository import changes

    if trigger_name and filename:
        raise click.UsageError("A trigger names its build: give --trigger or --file.")
    if network and where == "host":
        raise click.UsageError("--network needs --steps docker.")
    project = find_project(project_folder)
    git = changes.git_of(project.root)
    commit = git(["rev-parse", "HEAD"]).strip()
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if trigger_name:
        start = causes.by_trigger(project.root, trigger_name, git, commit, ref)
        if git(["status", "--porcelain"]):
            verbosity.note("What isn't committed is left out: a trigger builds commits.")
    elif ref:
        raise click.UsageError("--ref needs --trigger.")
    else:
        start = causes.by_hand(filename)
    folder = workspace or project.root / "runs" / ".ci" / "workspace"
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell in the background has the first ignored
        signal.signal(number, signal.default_int_handler)
    with workspaces.prepared(project.root, folder.absolute(), commit, not start.triggered) as ready:
        result = execution.execute(
            ready, start, _pairs(given, "substitution"), where, lambda step: _tell(step, console), network
        )
    return _conclude(result, as_json, console)


def _tell(step: "StepResult", console) -> None:
    from pipeyard.system import logs

    if step.status == "WORKING":
        verbosity.note(f"{'started':10} {step.name}")
        return
    failed = step.status in ("FAILURE", "TIMEOUT")
    if failed or not verbosity.is_quiet():
        console.print(f"{step.status:10} {step.name}  {step.seconds:.1f} s  {step.text}".rstrip())
    if failed:
        console.print(logs.tail(step.log, _TAIL_LINES, step.hide))


def _conclude(result: "Result", as_json: bool, console) -> int:
    import json

    if as_json:
        steps = [
            {
                "name": each.name,
                "status": each.status,
                "seconds": round(each.seconds, 3),
                "code": each.code,
                "text": each.text,
                "log": str(each.log),
            }
            for each in result.steps
        ]
        click.echo(json.dumps({"status": result.status, "seconds": round(result.seconds, 3), "steps": steps}, indent=2))
    waiting = [each.name for each in result.steps if each.status == "QUEUED"]
    console.print(f"\nBuild {result.status} in {result.seconds:.1f} s.")
    if waiting:
        console.print(f"Not started: {', '.join(waiting)}")
    console.print(f"Logs: {result.steps[0].log.parent}")
    return EXIT_CODES.get(result.status, 1)


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    parsed = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"{option} {text!r} has no '='. Write it as {text}=VALUE.")
        parsed[name] = value
    return parsed
