"""Trigger conditions: the CEL that KFP's compiler emits."""

from collections.abc import Mapping
from typing import Any

import celpy

from pipeyard.errors import PipeyardError


def holds(condition: str, parameters: Mapping[str, Any]) -> bool:
    """Evaluates a condition.

    Args:
        condition: CEL over `inputs.parameter_values`, see https://cel.dev.
        parameters: the values that the condition's own task binds. They are looked up, never pasted into the
            expression, so that a quote in a value can't change it.

    Raises:
        PipeyardError: it doesn't parse, compares unlike things, or names a value that isn't there.
    """
    environment = celpy.Environment()
    # As in the backend, where parameters are protobuf Values: every number is a double, and `int()` stands around those
    # that are declared whole.
    values = {name: _double(value) for name, value in parameters.items()}
    try:
        program = environment.program(environment.compile(condition))
        result = program.evaluate({"inputs": celpy.json_to_cel({"parameter_values": values})})
    except celpy.CELParseError as error:
        raise PipeyardError(f"the condition {condition!r} doesn't parse as CEL: {error}") from error
    except celpy.CELEvalError as error:
        raise PipeyardError(f"the condition {condition!r} can't be evaluated with {values}: {error.args[0]}") from error
    return bool(result)


def _double(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
