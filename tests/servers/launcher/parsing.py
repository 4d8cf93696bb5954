"""What the launcher reads back from a step, as strictly as it does: after Go's strconv and protojson."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

# strconv.ParseBool
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_INTEGER = re.compile(r"[+-]?[0-9]+$")
# protojson: fields of ExecutorOutput, and of the RuntimeArtifacts in it.
_FIELDS = {"parameters", "artifacts", "parameterValues"}
_ARTIFACT_FIELDS = {"name", "type", "uri", "properties", "customProperties", "metadata", "customPath"}


class Refused(Exception):
    """The launcher can't read what the step wrote."""


def parameter(text: str, kind: str) -> Any:
    """Returns an output parameter's value.

    Args:
        text: all of its file.
        kind: ParameterTypeEnum of the IR.

    Raises:
        Refused: it isn't of the kind: `yes` for a Boolean, `3.0` for an Integer.
    """
    bare = text.strip()
    if kind == "STRING":
        return text
    if kind == "BOOLEAN" and bare in _TRUE + _FALSE:
        return bare in _TRUE
    if kind == "NUMBER_INTEGER" and _INTEGER.match(bare):
        return int(bare)
    if kind == "NUMBER_DOUBLE":
        try:
            number = float(bare)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and "_" not in bare:
            return number
    if kind in ("LIST", "STRUCT"):
        value = _json(text)
        if isinstance(value, list if kind == "LIST" else dict):
            return value
    raise Refused(f"{text!r} is no {kind}")


def executor_output(text: str) -> dict[str, Any]:
    """Returns `output_metadata.json`.

    Raises:
        Refused: it isn't JSON as protobuf takes it: NaN, an unknown field, or null as a value of metadata.
    """
    output = _object(_json(text), "ExecutorOutput", _FIELDS)
    for name, listed in output.get("artifacts", {}).items():
        for artifact in _object(listed, "ArtifactList", {"artifacts"}).get("artifacts", []):
            _object(artifact, f"RuntimeArtifact of {name!r}", _ARTIFACT_FIELDS)
            for key, value in artifact.get("metadata", {}).items():
                if value is None:
                    raise Refused(f"metadata {key!r} of {name!r} is null")
    return output


def _object(value: Any, what: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refused(f"{what} is no object")
    for name in value:
        if name not in known:
            raise Refused(f"unknown field {name!r} in {what}")
    return value


def _json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise Refused(f"invalid value {constant}")

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise Refused(str(error)) from error
