"""Brings the registry, and what serves, in line with a model's desired state: `python -m deploy.promotion`.

Whoever changes the state runs it afterwards (the supervisor, of what it serves; else an operator): `champion` is the
stable version, `challenger` the candidate, and a version that a rollout decided on has a tag that says how and why. It
may be run again at any time.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from deploy import serving, states, targets
from rollout.desired import Desired
from stepkit import cli, registry, uris
from stepkit.errors import StepError
from stepkit.served import RECORD

ROLLOUT_TAG = "pipeyard.rollout"
_LONGEST = 1000  # characters: what MLflow's databases take of a tag is a few thousand


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(
        prog="deploy.promotion",
        description="Brings the registry's aliases, and what serves, in line with the desired state of a model.",
    )
    parser.add_argument("--serving-uri", required=True, help="base of the TF Serving layout, as deploy has it")
    parser.add_argument("--model-name", required=True, help="name of the served and registered model")
    parser.add_argument("--registry-uri", default="", help="another registry than the one that the state names")
    return parser


def align(serving_uri: str, model_name: str, registry_uri: str = "") -> Desired:
    """Points the aliases at the versions of the desired state; returns that state.

    Args:
        registry_uri: empty: the one that the state names.

    Raises:
        StepError: there is no state, a version of it has no record, or the registry can't be reached.
    """
    state = states.open_state(serving_uri, model_name).read()
    if state is None:
        raise StepError(
            f"Model {model_name!r} has no desired state below {serving_uri!r}: nothing was deployed there. Check both."
        )
    targets.publish(state, serving_uri)
    align_with(state, serving_uri, model_name, registry_uri)
    return state


def align_with(state: Desired, serving_uri: str, model_name: str, registry_uri: str = "") -> None:
    """Points the aliases at the versions of a state, wherever that is kept; see `align`."""
    where = registry_uri or state.registry_uri
    if not where:
        return
    registry.promote(where, _registered(serving_uri, model_name, state.stable), registry.CHAMPION)
    if state.candidate is not None:
        registry.promote(where, _registered(serving_uri, model_name, state.candidate), registry.CHALLENGER)
    if state.decided:
        decided = _registered(serving_uri, model_name, state.decided.version)
        if state.decided.version != state.candidate:
            registry.withdraw(where, decided, registry.CHALLENGER)
        said = f"{state.decided.action}: {'; '.join(state.decided.reasons)}"
        registry.tag(where, decided, {ROLLOUT_TAG: said[:_LONGEST]})


def _registered(serving_uri: str, model_name: str, number: int) -> registry.ModelVersion:
    uri = serving.open_versions(serving_uri, model_name).uri(number)
    text = uris.read_text(uris.join(uri, RECORD), "record of a version")
    try:
        record: dict[str, Any] = json.loads(text)
        return registry.ModelVersion(model_name, number, str(record["uri"]), str(record["digest"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StepError(
            f"The record {RECORD} of version {number} at {uri!r} isn't whole. Deploy the model again."
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns the exit code (see `stepkit.cli.run`)."""

    def step(args: argparse.Namespace) -> None:
        state = align(args.serving_uri, args.model_name, args.registry_uri)
        tried = f", challenger version {state.candidate}" if state.candidate is not None else ""
        print(f"champion of {args.model_name!r} is version {state.stable}{tried}", file=sys.stderr)

    return cli.run(build_parser(), step, argv)


if __name__ == "__main__":
    sys.exit(main())
