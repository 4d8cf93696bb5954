"""Bodies of requests and answers: JSON of KServe's V1 and V2 (Open Inference Protocol).

    V1  {"instances": [{column: value}]}                              -> {"predictions": [...], "model_version": "3"}
    V2  {"inputs": [{"name": column, "shape": [rows], "datatype": ..., "data": [...]}]} -> {"outputs": [...]}

https://kserve.github.io/website/docs/concepts/architecture/data-plane
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from model_server.columns import Reader, Values
from model_server.refusals import BAD_REQUEST, NO_ANSWER, TOO_LARGE, Refused
from stepkit import served, tasks
from stepkit.answers import Answers, NoAnswerError, Prediction
from stepkit.errors import near_misses
from stepkit.raw_columns import BYTES, FLOAT, INT

_V1_KEYS = ("instances", "signature_name")
_V2_KEYS = ("inputs", "id", "parameters", "outputs")
_INPUT_KEYS = ("name", "shape", "datatype", "data", "parameters")
_DATATYPES = {
    FLOAT: ("FP32", "FP64", "FP16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    INT: ("INT64", "INT32", "INT16", "INT8", "UINT8", "UINT16", "UINT32", "UINT64"),
    BYTES: ("BYTES",),
}
_NO_JSON = ("NaN", "Infinity")
# Of nested lists, which are gone through once a level; what is deeper is no column's value.
_MOST_DEPTH = 4


@dataclass(frozen=True)
class Asked:
    """What a request asks.

    Attributes:
        values: by column; one that isn't there is missing in all rows.
        rows: how many.
        request_id: of V2's body; empty: none.
    """

    values: Mapping[str, Values]
    rows: int
    request_id: str = ""


def parse(body: bytes | bytearray) -> dict[str, Any]:
    """Returns a body's object.

    Raises:
        Refused: it isn't JSON, or none of an object; says where.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(BAD_REQUEST, _why_no_json(body, error)) from error
    if not isinstance(found, dict):
        raise Refused(BAD_REQUEST, f"The body must be a JSON object; it is {_kind(found)}.")
    return found


def read_v1(body: dict[str, Any], reader: Reader, max_rows: int) -> Asked:
    """Returns what a V1 body asks.

    Raises:
        Refused: it isn't one, or its instances aren't the model's.
    """
    if body.keys() != {"instances"}:
        _check_keys(body, _V1_KEYS, "instances", 'Send {"instances": [{column: value, ...}, ...]}.')
        if body.get("signature_name", served.RAW_SIGNATURE) != served.RAW_SIGNATURE:
            raise Refused(
                BAD_REQUEST, f"'signature_name' can only be {served.RAW_SIGNATURE!r}: columns are what is taken."
            )
    instances = body["instances"]
    if not isinstance(instances, list) or not instances:
        raise Refused(BAD_REQUEST, f"'instances' must be a list of one or more objects; it is {_kind(instances)}.")
    _check_rows(len(instances), max_rows)
    return Asked(reader.of_instances(instances), len(instances))


def read_v2(body: dict[str, Any], reader: Reader, max_rows: int) -> Asked:
    """Returns what a V2 body asks.

    Raises:
        Refused: it isn't one, or its inputs aren't the model's columns.
    """
    _check_keys(body, _V2_KEYS, "inputs", 'Send {"inputs": [{"name", "shape", "datatype", "data"}, ...]}.')
    request_id = body.get("id", "")
    if not isinstance(request_id, str):
        raise Refused(BAD_REQUEST, f"'id' must be text; it is {_kind(request_id)}.")
    inputs = body["inputs"]
    if not isinstance(inputs, list) or not inputs:
        raise Refused(BAD_REQUEST, f"'inputs' must be a list of one or more inputs; it is {_kind(inputs)}.")
    values: dict[str, Values] = {}
    rows = 0
    for number, item in enumerate(inputs):
        if not isinstance(item, dict):
            raise Refused(BAD_REQUEST, f"Input {number} must be an object; it is {_kind(item)}.")
        name, column = _input(number, item, reader)
        if name in values:
            raise Refused(BAD_REQUEST, f"'inputs' has the column {name!r} twice. Send it once.")
        if values and len(column) != rows:
            raise Refused(
                BAD_REQUEST, f"The input {name!r} has {len(column)} rows; the first input has {rows}. Send as many."
            )
        rows = len(column)
        values[name] = column
        _check_rows(rows, max_rows)
    return Asked(values, rows, request_id)


def write_v1(answers: Answers, values: np.ndarray, version: str) -> bytes:
    """Returns the V1 answer."""
    return orjson.dumps({"predictions": _predictions(answers, values), "model_version": version})


def _predictions(answers: Answers, values: np.ndarray) -> list[Prediction]:
    try:
        return answers.predictions(values)
    except NoAnswerError as error:
        raise Refused(NO_ANSWER, str(error)) from error


def write_v2(answers: Answers, values: np.ndarray, model: tuple[str, str], request_id: str) -> bytes:
    """Returns the V2 answer: the model's output, then the predicted class where there is one (of each class of a
    multilabel model, whether it is predicted).

    Args:
        model: name and version.
        request_id: the body's, or the header's.
    """
    predictions = _predictions(answers, values)
    rows = len(predictions)
    shape = [rows, answers.width]
    output: dict[str, Any] = {
        "name": answers.output,
        "shape": shape,
        "datatype": "FP32",
        "data": values.ravel().tolist(),
    }
    outputs = [output]
    if answers.task == tasks.BINARY:
        output["parameters"] = {"threshold": answers.threshold}
        outputs.append(_texts("class", [rows], [str(each["class"]) for each in predictions]))
    elif answers.task == tasks.MULTICLASS:
        outputs.append(_texts(tasks.CLASSES_OUTPUT, shape, answers.names * rows))
        outputs.append(_texts("class", [rows], [str(each["class"]) for each in predictions]))
    elif answers.task == tasks.MULTILABEL:
        output["parameters"] = {"threshold": answers.threshold}
        outputs.append(_texts(tasks.CLASSES_OUTPUT, shape, answers.names * rows))
        predicted = (values > answers.threshold).ravel().tolist()
        outputs.append({"name": "predicted", "shape": shape, "datatype": "BOOL", "data": predicted})
    name, version = model
    return orjson.dumps({"model_name": name, "model_version": version, "id": request_id, "outputs": outputs})


def _texts(name: str, shape: Sequence[int], data: Sequence[str]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "BYTES", "data": data}


def _check_keys(body: Mapping[str, Any], known: Sequence[str], needed: str, remedy: str) -> None:
    for key in body:
        if key not in known:
            raise Refused(
                BAD_REQUEST, f"The body has {key[:60]!r}, which isn't known. {near_misses(key[:60], known)} {remedy}"
            )
    if needed not in body:
        raise Refused(BAD_REQUEST, f"The body lacks {needed!r}. {remedy}")


def _check_rows(rows: int, most: int) -> None:
    if rows > most:
        raise Refused(TOO_LARGE, f"The request has {rows} rows; {most} are taken at once. Split it.")


def _input(number: int, item: Mapping[str, Any], reader: Reader) -> tuple[str, Values]:
    for key in item:
        if key not in _INPUT_KEYS:
            raise Refused(
                BAD_REQUEST, f"Input {number} has {key[:60]!r}, which isn't known. {near_misses(key[:60], _INPUT_KEYS)}"
            )
    for key in _INPUT_KEYS[:4]:
        if key not in item:
            raise Refused(BAD_REQUEST, f"Input {number} lacks {key!r}.")
    name, shape, datatype = item["name"], item["shape"], item["datatype"]
    if not isinstance(name, str):
        raise Refused(BAD_REQUEST, f"The name of input {number} must be text; it is {_kind(name)}.")
    reader.check_names([name], f"Input {number} is")
    column = reader.by_name[name]
    if datatype not in _DATATYPES[column.kind]:
        raise Refused(
            BAD_REQUEST,
            f"The input {name!r} has the datatype {str(datatype)[:60]!r}; it must be one of "
            f"{', '.join(_DATATYPES[column.kind])}.",
        )
    if not isinstance(shape, list) or not shape or not all(_is_size(size) for size in shape):
        raise Refused(BAD_REQUEST, f"The shape of input {name!r} must be a list of whole numbers, rows first.")
    if not isinstance(item["data"], list):
        raise Refused(BAD_REQUEST, f"The data of input {name!r} must be a list; it is {_kind(item['data'])}.")
    data = _flat(item["data"])
    if math.prod(shape) != len(data) or not data:
        raise Refused(
            BAD_REQUEST, f"The input {name!r} has {len(data)} values; its shape {shape} has {math.prod(shape)}."
        )
    width = len(data) // shape[0]
    if not column.is_single:
        return name, [data[at : at + width] for at in range(0, len(data), width)]
    if width != 1:
        raise Refused(BAD_REQUEST, f"The input {name!r} has {width} values a row; the model takes one. Send [rows, 1].")
    return name, data


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flat(data: list[Any]) -> list[Any]:
    """Returns the values of nested lists; those of the protocol are flat, or nested as the shape is."""
    for _ in range(_MOST_DEPTH):
        if not any(isinstance(item, list) for item in data):
            break
        data = [value for item in data for value in (item if isinstance(item, list) else [item])]
    return data


def _why_no_json(body: bytes | bytearray, error: orjson.JSONDecodeError) -> str:
    literal = _literal(body) if any(name.encode() in body for name in _NO_JSON) else ""
    if literal:
        return f"{literal}, which JSON hasn't. Send null for a missing value, or leave the column out."
    if not body.strip():
        return 'The body is empty. Send {"instances": [{column: value, ...}, ...]}.'
    return f"The body isn't JSON: {str(error).rstrip('.')}."


class _Literal(str):
    pass


def _literal(body: bytes | bytearray) -> str:
    """Returns where the first literal is that only Python writes; empty if the body isn't JSON otherwise either."""
    try:
        found = json.loads(body, parse_constant=_Literal)
    except (ValueError, RecursionError):
        return ""
    if isinstance(found, dict) and isinstance(instances := found.get("instances"), list):
        for number, row in enumerate(instances):
            for name, value in row.items() if isinstance(row, dict) else ():
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, _Literal):
                        return f"The column {name!r} of instance {number} is {item}"
    if isinstance(found, dict) and isinstance(inputs := found.get("inputs"), list):
        for item in inputs:
            if isinstance(item, dict) and isinstance(data := item.get("data"), list):
                literals = [value for value in _flat(data) if isinstance(value, _Literal)]
                if literals:
                    return f"The column {item.get('name')!r} has a value {literals[0]}"
    return "The body has NaN or Infinity"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    if value == [] and isinstance(value, list):
        return "empty"
    return names.get(type(value), "a number")
