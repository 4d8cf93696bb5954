"""What is known of the parameters before there is a model."""

import argparse
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from deploy import card_declaration, model_card
from deploy.targets import TARGETS, Given
from rollout.errors import RolloutError
from rollout.policy import DIRECT, STRATEGIES, Policy
from stepkit import registry
from stepkit.errors import StepError, UsageError, near_misses


def check(args: argparse.Namespace) -> None:
    """Checks the parameters that are given: with `--check` some come later, and are None.

    Raises:
        StepError: no model and no registry can be called so, a number of the operating point isn't finite, or the
            module's MODEL_CARD or the lineage isn't what a card has.
        UsageError: fewer than one sample row is asked for, the serving URI is empty, or the rollout can't be: an
            unknown target, strategy, key of its policy or of the target's options, or what doesn't go together.
    """
    if args.model_name is not None:
        _check_name(args.model_name)
    if args.sample_rows < 1:
        raise UsageError(f"--sample-rows is {args.sample_rows}; the model must answer at least 1")
    if args.serving_uri == "":
        raise UsageError("--serving-uri is empty; give the base folder or URI of the TF Serving layout")
    if args.registry_uri is not None:
        registry.check_uri(args.registry_uri)
    operating_point(args.operating_point)
    card_declaration.read(args.module or "", args.module_uri or "")
    model_card.check_lineage(args.lineage or {})
    _check_choice("--serving-target", args.serving_target, TARGETS)
    _check_choice("--strategy", args.strategy, STRATEGIES)
    policy(args.rollout_policy)
    kind = TARGETS[args.serving_target]
    if args.strategy not in kind.strategies:
        raise UsageError(
            f"--serving-target {args.serving_target} can't follow --strategy {args.strategy}: {kind.instead}"
        )
    kind.check(Given(args.serving_options, args.strategy, args.serving_uri, args.model_name, args.rollout_policy))
    if args.strategy != DIRECT and args.alias == registry.CHALLENGER:
        raise UsageError(
            f"--alias challenger is for --strategy direct; by {args.strategy} a version is challenger until it is "
            "decided, without it"
        )


def policy(value: Mapping[str, Any]) -> Policy:
    """Returns the policy of the rollout.

    Raises:
        UsageError: a key is unknown, or a value can't be.
    """
    try:
        return Policy.from_json(value)
    except RolloutError as error:
        raise UsageError(f"--rollout-policy: {error}") from error


def _check_choice(flag: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise UsageError(f"{flag} can't be {value!r}. {near_misses(value, known)}")


def operating_point(value: Mapping[str, Any]) -> bytes:
    """Returns what lies beside a model of its operating point; nothing if there is none.

    Raises:
        StepError: a number isn't finite.
    """
    try:
        return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode() if value else b""
    except ValueError as error:
        raise StepError("--operating-point has a number that isn't finite. Give evaluate's output.") from error


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name, re.ASCII):
        raise StepError(
            f"The model name {name!r} can't be a folder's and a registered model's name. Use up to 100 letters, "
            "digits, '_', '-' and '.', starting with a letter or digit."
        )
