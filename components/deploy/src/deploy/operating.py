"""What operators ask of a target: how a model stands, promote, roll back: `python -m deploy.operating`.

A decision is written where the target keeps what is desired, so that a step that follows the candidate finds it at its
next look and ends; then what serves is brought in line by this program itself, and the registry, as no step may run. It
may be repeated: what was decided so already is brought in line again, wherever it was killed.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from deploy import promotion, targets
from deploy.desired_target import DeployTarget, FollowedTarget
from rollout import desired, loop
from rollout.desired import PROMOTED, ROLLED_BACK, Desired
from rollout.errors import Overtaken
from rollout.policy import CANARY, DIRECT, Policy
from stepkit import cli
from stepkit.errors import StepError, UsageError, near_misses

STATUS, PROMOTE, ROLL_BACK = "status", "promote", "rollback"
ACTIONS = (STATUS, PROMOTE, ROLL_BACK)
_DECIDES = {PROMOTE: PROMOTED, ROLL_BACK: ROLLED_BACK}


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(
        prog="deploy.operating",
        description="Shows how a model's rollout stands at its target, gives the candidate all traffic, or ends it.",
    )
    parser.add_argument("action", choices=ACTIONS, help="what is asked")
    parser.add_argument("--serving-target", required=True, help="what serves, as deploy has it")
    parser.add_argument(
        "--serving-options", type=cli.json_object, default={}, help="where and how it serves, as deploy has it"
    )
    parser.add_argument("--serving-uri", required=True, help="base of the TF Serving layout, as deploy has it")
    parser.add_argument("--model-name", required=True, help="name of the served and registered model")
    parser.add_argument("--version", type=cli.integer, help="the candidate that is meant; without it, the one there is")
    parser.add_argument("--reason", default="by hand", help="recorded with the decision")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def open_target(args: argparse.Namespace) -> DeployTarget:
    """Returns the target that the arguments name; contacts nothing yet.

    Raises:
        UsageError: there is no such target, or its options can't be.
    """
    if args.serving_target not in targets.TARGETS:
        raise UsageError(
            f"--serving-target can't be {args.serving_target!r}. {near_misses(args.serving_target, targets.TARGETS)}"
        )
    rules = targets.Rules(DIRECT, Policy(), "", "", time.time, args.serving_options)
    return targets.open_target(args.serving_target, args.serving_uri, args.model_name, rules)


def read(target: DeployTarget, model_name: str) -> Desired:
    """Returns what is desired of a model.

    Raises:
        StepError: nothing is, or it can't be read.
    """
    state = target.read()
    if state is None:
        raise StepError(
            f"Model {model_name!r} isn't served there: no version was ever deployed. Check name and target."
        )
    return state


def decide(target: DeployTarget, model_name: str, action: str, version: int | None, reason: str) -> Desired:
    """Ends a rollout; returns what is desired then, which is in force.

    Args:
        action: `promote` or `rollback`.
        version: the candidate that is meant; None: the one there is, or, where none is, the one that was last decided
            on so.

    Raises:
        StepError: there is no candidate, or another one, or the target fails.
    """
    state = read(target, model_name)
    number = version if version is not None else _meant(state, action)
    if number is None:
        raise StepError(
            f"{model_name!r} has no candidate: {desired.describe(state)}. Deploy a version with strategy canary."
        )
    try:
        if action == PROMOTE:
            target.promote(number, [reason])
        else:
            target.roll_back(number, [reason])
    except Overtaken as error:
        raise StepError(str(error)) from error
    return read(target, model_name)


def _meant(state: Desired, action: str) -> int | None:
    last = state.decided
    if state.candidate is None and last and last.action == _DECIDES[action] and last.at >= state.staged_at:
        return last.version
    return state.candidate


def to_json(target: DeployTarget, state: Desired) -> dict[str, Any]:
    """Returns how a rollout stands: what is desired, and since when (seconds since the epoch) which share was given."""
    steps: Sequence[loop.Step] = ()
    if isinstance(target, FollowedTarget) and state.candidate is not None and state.strategy == CANARY:
        steps = loop.Progress.of(state, target.remembered()).steps
    found: dict[str, Any] = json.loads(state.to_text())
    return found | {"steps": [{"weight": each.weight, "since": each.since, "until": each.until} for each in steps]}


def to_lines(model_name: str, state: Desired, steps: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the same for people."""
    lines = [f"{model_name} at {state.target}: {desired.describe(state)}"]
    if state.candidate is not None:
        lines.append(f"tried by {state.strategy} since {_time(state.staged_at)}{_of_run(state.run_id)}")
    lines += [f"  {each['weight']}% since {_time(each['since'])}" for each in steps]
    if last := state.decided:
        lines.append(f"last decided: version {last.version} {last.action.replace('_', ' ')} at {_time(last.at)}")
        lines += [f"  {reason}" for reason in last.reasons]
    return lines


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _of_run(run_id: str) -> str:
    return f", by run {run_id}" if run_id else ""


def run(args: argparse.Namespace) -> None:
    """Does what is asked, and prints how the rollout stands then.

    Raises:
        UsageError, StepError: see `open_target` and `decide`.
    """
    target = open_target(args)
    if args.action == STATUS:
        state = read(target, args.model_name)
    else:
        state = decide(target, args.model_name, args.action, args.version, args.reason)
        promotion.align_with(state, args.serving_uri, args.model_name)
    found = to_json(target, state)
    print(json.dumps(found, indent=2) if args.json else "\n".join(to_lines(args.model_name, state, found["steps"])))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns the exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
