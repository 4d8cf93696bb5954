"""The command `pipeyard`."""

import importlib
import signal
import sys
import traceback
from typing import Any

import click

from pipeyard.errors import FAILED, STOPPED, VISIBLE, near_misses, shown
from pipeyard.system import verbosity
from pipeyard.system.verbosity import Verbosity

# Command to the module that defines it as `command`. Modules are imported when their command is used, and what is heavy
# in them later still, so that --help is quick.
COMMANDS = {
    "new": "pipeyard.commands.new",
    "run": "pipeyard.commands.run",
    "runs": "pipeyard.commands.runs",
    "schema": "pipeyard.commands.schema",
    "compile": "pipeyard.commands.compile",
    "sync": "pipeyard.commands.sync",
    "lock": "pipeyard.commands.lock",
    "readme": "pipeyard.commands.readme",
    "settings": "pipeyard.commands.settings",
    "check": "pipeyard.commands.check",
    "affected": "pipeyard.commands.affected",
    "build": "pipeyard.commands.build",
    "upload": "pipeyard.commands.upload",
    "plan": "pipeyard.commands.plan",
    "deploy": "pipeyard.commands.deploy",
    "approve": "pipeyard.commands.approve",
    "serve": "pipeyard.commands.serve",
    "predict": "pipeyard.commands.predict",
    "doctor": "pipeyard.commands.doctor",
    "release": "pipeyard.commands.release",
    "withdraw": "pipeyard.commands.withdraw",
    "catalog": "pipeyard.commands.catalog",
    "ci": "pipeyard.commands.ci",
    "trigger": "pipeyard.commands.trigger",
}
# Former name to today's: hidden, and understood for one release.
FORMER = {"env": "sync"}


def _choose(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
    """Takes -q or -v, wherever it stands."""
    if not given:
        return
    chosen = Verbosity(parameter.opts[0])
    if ctx.find_root().meta.setdefault(__name__, chosen) != chosen:
        raise click.UsageError("-q and -v exclude each other.", ctx)
    verbosity.choose(chosen)


def _verbosity_options(hidden: bool) -> list[click.Parameter]:
    helps = {
        ("-q", "--quiet"): "Print only results and errors: no progress, notes and warnings.",
        ("-v", "--verbose"): "Print what is done in detail, too: requests, commands, what the cache has.",
    }
    return [
        click.Option(names, is_flag=True, expose_value=False, hidden=hidden, callback=_choose, help=text)
        for names, text in helps.items()
    ]


def _taking_verbosity(command: click.Command) -> click.Command:
    """Returns a command that takes -q and -v after its name, too, as all below it do."""
    if not any("-q" in each.opts for each in command.params):
        command.params += _verbosity_options(hidden=True)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _taking_verbosity(below)
    return command


class _Lazy(click.Group):
    """A group that imports its commands when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name])
        return _taking_verbosity(module.command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] in FORMER:
            today = FORMER[args[0]]
            verbosity.note(
                f"`pipeyard {args[0]}` is called `pipeyard {today}` now; the next release drops the old name."
            )
            args = [today, *args[1:]]
        if args and args[0] not in COMMANDS:
            raise click.UsageError(f"No command {args[0]!r}. {near_misses(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Lazy, params=_verbosity_options(hidden=False), context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="pipeyard")
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
@click.pass_context
def _group(ctx: click.Context, debug: bool) -> None:
    """Build, check, run and ship Kubeflow Pipelines components and pipelines."""
    ctx.ensure_object(dict)["debug"] = debug


def _unwind_when_ended() -> None:
    """Has SIGTERM and a closed terminal end a command as an error does: half-written files and children go with it."""

    def end(signum: int, _frame: object) -> None:
        sys.exit(128 + signum)  # as shells tell of it

    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) == signal.SIG_DFL:  # `nohup` has one ignored
            signal.signal(each, end)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by the user."""
    _unwind_when_ended()
    given: dict[str, bool] = {}
    verbosity.choose(Verbosity.NORMAL)
    try:
        sys.exit(_group.main(standalone_mode=False, obj=given) or 0)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(STOPPED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VISIBLE as error:
        if given.get("debug"):
            traceback.print_exc()
        click.echo(shown(error), err=True)
        sys.exit(FAILED)
