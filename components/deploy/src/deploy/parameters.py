"""What is known of the parameters before there is a model."""

import argparse
import json
import re
from collections.abc import Mapping
from typing import Any

from stepkit import registry
from stepkit.errors import StepError, UsageError


def check(args: argparse.Namespace) -> None:
    """Checks the parameters that are given: with `--check` some come later, and are None.

    Raises:
        StepError: no model and no registry can be called so, or a number of the operating point isn't finite.
        UsageError: fewer than one sample row is asked for, or the serving URI is empty.
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
