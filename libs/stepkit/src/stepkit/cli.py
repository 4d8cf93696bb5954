"""Argument types that take what KFP backends pass, and the thin main around a step."""

import argparse
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from stepkit.errors import StepError, UsageError

T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2


def boolean(text: str) -> bool:
    """Parses `true` (KFP 2) and `True` (KFP 1) alike."""
    value = {"true": True, "false": False}.get(text.strip().lower())
    if value is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a boolean; give true or false")
    return value


def integer(text: str) -> int:
    """Parses `3` and `3.0`: protobuf's Value has only doubles, and some backends print them so."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not number.is_integer():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(number)


def _json(text: str, kind: type[T], word: str) -> T:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({error}); give a JSON {word}") from error
    if not isinstance(value, kind):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON {word}")
    ordered: T = canonical(value)
    return ordered


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its members; `json.loads` would take the last of those with the same key."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice")
        found[key] = value
    return found


def canonical(value: Any) -> Any:
    """Returns a JSON value in the one form that all equal ones have, at any depth.

    Backends keep parameters in protobuf's Value, which has neither integers nor an order of an object's members: whole
    doubles come back as int (`[64.0]` as `[64]`), and members in the order of their names.
    """
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def json_array(text: str) -> list[Any]:
    """Parses a JsonArray parameter (see `canonical`)."""
    return _json(text, list, "array")


def json_object(text: str) -> dict[str, Any]:
    """Parses a JsonObject parameter (see `canonical`)."""
    return _json(text, dict, "object")


def add_executor_input(parser: argparse.ArgumentParser) -> None:
    """Adds `--executor-input`, through which KFP 2 tells where artifact metadata goes (see `stepkit.outputs`)."""
    parser.add_argument(
        "--executor-input",
        default="",
        help="KFP's executor input as JSON; ignored where the backend leaves the placeholder unresolved",
    )


def add_module(parser: argparse._ActionsContainer, functions: str) -> None:
    """Adds `--module` and `--module-uri`, of which a step needs one (see `stepkit.modules`)."""
    parser.add_argument("--module", default="", help=f"Python source of the pipeline module that defines {functions}")
    parser.add_argument(
        "--module-uri", default="", help="where to read that source instead: a path or a gs://, s3:// URI"
    )


def add_beam_args(parser: argparse._ActionsContainer) -> None:
    """Adds `--beam-args` (see `stepkit.beam`).

    `{component}` in it is the program's name: one list fits all steps of a pipeline, each with an image of its own.
    """
    parser.add_argument(
        "--beam-args",
        type=json_array,
        action=_BeamArgs,
        default=[],
        help='Beam pipeline options as a JSON array of strings, e.g. ["--runner=DataflowRunner"]; '
        "empty: in this process",
    )


class _BeamArgs(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object) -> None:
        strange = [each for each in values if not isinstance(each, str)]
        if strange:
            raise argparse.ArgumentError(self, f"it takes an array of strings; {strange[0]!r} isn't one")
        setattr(namespace, self.dest, [each.replace("{component}", parser.prog) for each in values])


class _Check(argparse.Action):
    """What a run gives later (outputs, and inputs from other steps) needn't be there to be checked."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> None:
        setattr(namespace, self.dest, True)
        for action in parser._actions:  # pylint: disable=protected-access  # argparse tells its flags in no other way
            action.required = False


def run(
    parser: argparse.ArgumentParser,
    step: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None,
    check: Callable[[argparse.Namespace], None] | None = None,
) -> int:
    """Parses, runs, and turns the expected ends of a step into an exit code.

    Args:
        check: gives the program a flag `--check`, with which this is called instead of `step`. It raises what the step
            would raise of its parameters, the pipeline's module, and its inputs where they are given, and writes
            nothing. No flag is required then: those that aren't given are at their defaults, or None.

    Returns: 0; 1 for a StepError or an OSError (a full disk, say), whose message goes to stderr without a traceback;
    2 for a UsageError. Anything else is a bug of ours and keeps its traceback. SIGTERM (a cancelled pod) unwinds
    like an exception, so that no output is left behind.
    """
    if check:
        help_text = "only check the parameters, the module, and the inputs that are given; write nothing"
        parser.add_argument("--check", action=_Check, nargs=0, default=False, help=help_text)
    args = parser.parse_args(argv)
    if check and args.check:
        step = _uncollected(check)
    set_up_tensorflow()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        step(args)
        return 0
    except UsageError as error:
        parser.print_usage(sys.stderr)
        return _complain(parser.prog, error, EXIT_USAGE)
    except StepError as error:
        return _complain(parser.prog, error, EXIT_FAILED)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        reason = os.strerror(error.errno) if error.errno else str(error)
        return _complain(parser.prog, f"{reason}{where}. Nothing was written.", EXIT_FAILED)


def _uncollected(check: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """Returns the check without a search for garbage: it is imports mostly, a seventh of whose time went into that."""

    def run_check(args: argparse.Namespace) -> None:
        collects = gc.isenabled()
        gc.disable()
        try:
            check(args)
        finally:
            if collects:
                gc.enable()

    return run_check


def set_up_tensorflow() -> None:
    """Sets what TensorFlow reads from the environment when it is imported, where it isn't set; call it before.

    The results of oneDNN differ between processors, of which TensorFlow warns at any log level; without it and at this
    level only errors are among the lines of the step.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _terminate(signum: int, frame: object) -> None:
    del frame
    raise SystemExit(128 + signum)


def _complain(program: str, message: object, code: int) -> int:
    print(f"{program}: error: {message}", file=sys.stderr)
    return code
