"""Raw columns of a request, and how their values become what the model's signature takes.

A value may be left out or null where the model can do without: then the signature gets what stands for a missing value
of its type (see `stepkit.schemas.MISSING`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from model_server.refusals import BAD_REQUEST, Refused
from stepkit.errors import near_misses
from stepkit.raw_columns import BYTES, FLOAT, INT, Column

_WORDS = {FLOAT: "a number", INT: "a whole number", BYTES: "text"}
_PLURALS = {FLOAT: "numbers", INT: "whole numbers", BYTES: "texts"}
_SHOWN = 60

# Values of one column, one a row; None: missing.
Values = Sequence[Any]


class Reader:
    """Turns rows of JSON into tensors, or says what is wrong with them."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.by_name = {column.name: column for column in columns}
        self._known = self.by_name.keys()
        self._readers = [(column, _reader(column)) for column in columns]

    def of_instances(self, instances: Sequence[Any]) -> dict[str, Values]:
        """Returns the values of each column.

        Raises:
            Refused: an instance is no object, or has a column that the model hasn't.
        """
        for number, row in enumerate(instances):
            if not isinstance(row, dict):
                raise Refused(
                    BAD_REQUEST,
                    f"Instance {number} is {_what(row)}; it must be an object of columns and their values.",
                )
            if not row.keys() <= self._known:
                self.check_names(row, f"Instance {number} has")
        return {name: [row.get(name) for row in instances] for name in self._known}

    def check_names(self, names: Iterable[str], who: str) -> None:
        """Raises Refused, with near misses, for a name that is no column."""
        for name in names:
            if name not in self._known:
                raise Refused(
                    BAD_REQUEST,
                    f"{who} the column {_short(name)!r}, which the model doesn't take. "
                    f"{near_misses(_short(name), self._known)}",
                )

    def tensors(self, values: Mapping[str, Values], rows: int) -> list[np.ndarray]:
        """Returns a tensor a column, [rows, ...], in the order of `columns`.

        Args:
            values: by column; one that isn't there is missing in all rows.

        Raises:
            Refused: a value has another type than the column, or a required one is missing.
        """
        nothing = [None] * rows
        return [read(values.get(column.name, nothing)) for column, read in self._readers]


def _reader(column: Column) -> Callable[[Values], np.ndarray]:
    if not column.is_single:
        return lambda values: _several(column, values)
    fast = {FLOAT: _floats, INT: _integers, BYTES: _texts}[column.kind]
    return lambda values: fast(column, values)


def _floats(column: Column, values: Values) -> np.ndarray:
    kinds = set(map(type, values))
    if not kinds <= {float, int}:
        values = [_value(column, number, value) for number, value in enumerate(values)]
        return np.array(values, column.dtype).reshape(-1, 1)
    most = float(np.finfo(column.dtype).max)
    for number, value in enumerate(values):
        if not -most <= value <= most:  # NaN isn't either
            _check(column, number, value)
    return np.array(values, column.dtype).reshape(-1, 1)


def _integers(column: Column, values: Values) -> np.ndarray:
    if set(map(type, values)) != {int}:
        values = [_value(column, number, value) for number, value in enumerate(values)]
    try:
        return np.array(values, column.dtype).reshape(-1, 1)
    except OverflowError:
        for number, value in enumerate(values):
            _check(column, number, value)
        raise


def _texts(column: Column, values: Values) -> np.ndarray:
    if set(map(type, values)) == {str}:
        try:
            encoded = [value.encode() for value in values]
        except UnicodeEncodeError:
            encoded = [_value(column, number, value) for number, value in enumerate(values)]
    else:
        encoded = [_value(column, number, value) for number, value in enumerate(values)]
    found = np.empty((len(values), 1), object)
    found[:, 0] = encoded
    return found


def _several(column: Column, values: Values) -> np.ndarray:
    rows = [_items(column, number, value) for number, value in enumerate(values)]
    if None in column.shape:
        width = max(1, *map(len, rows)) if rows else 1
        shape: tuple[int, ...] = (width,)
    else:
        shape = tuple(size for size in column.shape if size is not None)
        width = math.prod(shape)
    found = np.full((len(rows), width), column.missing, column.dtype)
    for number, row in enumerate(rows):
        if None not in column.shape and len(row) not in (0, width):
            raise Refused(
                BAD_REQUEST, f"{_place(column, number)} has {len(row)} values; the model takes {width}. Send as many."
            )
        found[number, : len(row)] = row
    return found.reshape(len(rows), *shape)


def _items(column: Column, number: int, value: Any) -> list[Any]:
    """Returns a row's values; a single one stands for a list of itself."""
    if value is None:
        if column.required:
            _refuse_missing(column, number)
        return []
    items = list(_flat(value, len(column.shape))) if isinstance(value, list) else [value]
    for item in items:
        if item is None:
            raise Refused(
                BAD_REQUEST,
                f"{_place(column, number)} has a null among its values. Leave missing ones out of the list.",
            )
    if column.required and not items:
        _refuse_missing(column, number)
    return [_check(column, number, item) for item in items]


def _flat(value: list[Any], depth: int) -> Iterator[Any]:
    for item in value:
        if depth > 1 and isinstance(item, list):
            yield from _flat(item, depth - 1)
        else:
            yield item


def _value(column: Column, number: int, value: Any) -> Any:
    if value is None:
        if column.required:
            _refuse_missing(column, number)
        return column.missing
    return _check(column, number, value)


def as_text(value: Any) -> Any:
    """Returns the text that examples have for a boolean (see `stepkit.examples`), and anything else as it is."""
    return str(value).lower() if isinstance(value, bool) else value


def _check(column: Column, number: int, value: Any) -> Any:
    """Returns a value as its tensor takes it.

    Raises:
        Refused: it is none of the column's type.
    """
    if column.kind == BYTES:
        value = as_text(value)
        if isinstance(value, str):
            try:
                return value.encode()
            except UnicodeEncodeError as error:
                raise Refused(
                    BAD_REQUEST, f"{_place(column, number)} is no text: it has half of a surrogate pair."
                ) from error
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise Refused(
                BAD_REQUEST,
                f"{_place(column, number)} is {value!r}, which JSON hasn't. Send null, or leave the column out.",
            )
        if column.kind == FLOAT:
            most = float(np.finfo(column.dtype).max)
            if -most <= value <= most:
                return float(value)
            raise Refused(
                BAD_REQUEST, f"{_place(column, number)} is {_what(value)}; the model takes numbers up to {most:.4g}."
            )
        if float(value).is_integer():
            limits = np.iinfo(column.dtype)
            if limits.min <= value <= limits.max:
                return int(value)
            raise Refused(
                BAD_REQUEST,
                f"{_place(column, number)} is {_what(value)}; the model takes whole numbers from {limits.min} to "
                f"{limits.max}.",
            )
    wanted = _WORDS[column.kind] if column.is_single else f"{_WORDS[column.kind]} or a list of {_PLURALS[column.kind]}"
    raise Refused(BAD_REQUEST, f"{_place(column, number)} is {_what(value)}; it must be {wanted}.")


def _refuse_missing(column: Column, number: int) -> None:
    raise Refused(
        BAD_REQUEST, f"Instance {number} lacks the column {column.name!r}, which the model needs. Send a value for it."
    )


def _place(column: Column, number: int) -> str:
    return f"The column {column.name!r} of instance {number}"


def _what(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {_short(value)!r}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
