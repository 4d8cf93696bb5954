"""What examples have for each type of DuckDB's, and what DuckDB is given for each of Arrow's.

Examples hold `int64`, `double`, `bool`, `string`, `binary`, dates, times of day and timestamps: what every later step
reads and nothing wider, since `data_validation` takes a decimal for a float and no unsigned number beyond 63 bits. A
number that none of these hold exactly is text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Rule:
    """What becomes of a type.

    Attributes:
        becomes: the SQL type that examples have; '' if they can't have one.
        why: the reason, where a column of the type isn't what one might expect; for '', what to do.
    """

    becomes: str
    why: str = ""


_NESTED = "examples hold single values. Leave it out by --columns, or take single values from it by --query, e.g. "
_ELEMENT = Rule("", _NESTED + "SELECT {column}[1] AS first FROM source.")
_MEMBER = Rule("", _NESTED + "SELECT {column}.field AS field FROM source.")

RULES = {
    "null": Rule("VARCHAR", "it has no values"),
    "boolean": Rule("BOOLEAN"),
    **dict.fromkeys(
        ("tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger"),
        Rule("BIGINT"),
    ),
    **dict.fromkeys(("ubigint", "hugeint", "uhugeint", "bignum"), Rule("BIGINT", "it has numbers beyond 64 bits")),
    **dict.fromkeys(("float", "double"), Rule("DOUBLE")),
    "decimal": Rule("DOUBLE", "it has decimal numbers with more digits than a double keeps"),
    **dict.fromkeys(("varchar", "enum"), Rule("VARCHAR")),
    "uuid": Rule("VARCHAR", "it has UUIDs"),
    "bit": Rule("VARCHAR", "it has bit strings"),
    "interval": Rule("VARCHAR", "it has intervals, whose months have no fixed length"),
    "time with time zone": Rule("VARCHAR", "it has times of day with a zone"),
    "geometry": Rule("VARCHAR", "it has geometries, written as well-known text"),
    "blob": Rule("BLOB"),
    "date": Rule("DATE"),
    "time": Rule("TIME"),
    "time_ns": Rule("TIME_NS"),
    **dict.fromkeys(("timestamp", "timestamp_s", "timestamp_ms"), Rule("TIMESTAMP")),
    "timestamp_ns": Rule("TIMESTAMP_NS"),
    "timestamp with time zone": Rule("TIMESTAMPTZ"),
    "timestamptz_ns": Rule("TIMESTAMPTZ_NS"),
    **dict.fromkeys(("list", "array", "tuple"), _ELEMENT),
    "struct": _MEMBER,
    "map": Rule("", _NESTED + "SELECT {column}['key'] AS value FROM source."),
    "union": Rule("", _NESTED + "SELECT {column}.member AS member FROM source."),
    "variant": Rule(
        "", "each of its values has a type of its own. Leave it out by --columns, or say which by --column-types."
    ),
}
_UNKNOWN = Rule("", "examples can't hold it. Leave it out by --columns, or make it text by --column-types.")


def rule(kind: Any) -> Rule:
    """Returns what becomes of a DuckDB type."""
    return RULES.get(kind.id, _UNKNOWN)


def plain_type(kind: Any) -> str:
    """Returns which of the types that examples have a DuckDB type becomes; '' for one that none holds.

    A type that `is_doubtful` becomes it only if every value fits.
    """
    if kind.id == "decimal" and _digits(kind)[1] == 0:
        return "BIGINT"
    return rule(kind).becomes


def is_doubtful(kind: Any) -> bool:
    """True if the values decide what a DuckDB type becomes: not each is a whole number of 64 bits, or a double's."""
    if kind.id == "decimal":
        precision, scale = _digits(kind)
        return precision > (15 if scale else 18)
    return kind.id in ("ubigint", "hugeint", "uhugeint", "bignum")


def fitting(column: str, kind: Any) -> list[tuple[str, str]]:
    """Returns what a doubtful column may become, best first: a SQL type, and the SQL condition that a value fits it.

    Args:
        column: quoted.
        kind: its DuckDB type.
    """
    text = f"CAST({column} AS VARCHAR)"
    whole = f"coalesce(TRY_CAST(TRY_CAST({column} AS BIGINT) AS VARCHAR) = {text}, false)"
    if kind.id != "decimal":
        return [("BIGINT", whole)]
    precision, scale = _digits(kind)
    # By way of text, which is exact: DuckDB scales a double when it makes it a decimal.
    back = f"TRY_CAST(CAST(CAST({column} AS DOUBLE) AS VARCHAR) AS DECIMAL({precision}, {scale}))"
    integral = f"TRY_CAST(TRY_CAST({column} AS BIGINT) AS DECIMAL({precision}, {scale})) = {column}"
    if scale == 0:
        return [("BIGINT", f"coalesce({integral}, false)")]
    return [("DOUBLE", f"coalesce({back} = {column}, false)"), ("BIGINT", f"coalesce({integral}, false)")]


def _digits(kind: Any) -> tuple[int, int]:
    """Returns a decimal's precision and scale."""
    children = dict(kind.children)
    return children["precision"], children["scale"]


def acceptable(schema: pa.Schema) -> tuple[pa.Schema, Callable[[pa.RecordBatch], pa.RecordBatch], dict[str, str]]:
    """Makes an Arrow schema one that DuckDB can take without a loss.

    DuckDB has no decimals of more than 38 digits, no half floats, and no durations (it makes them intervals in
    microseconds): these become text, floats and counts of their unit.

    Returns:
        The schema, what makes batches so, and column to what is unexpected about it.
    """
    fields = [field.with_type(_acceptable(field.type)) for field in schema]
    plain = {field.name: _plain(field.type) for field in schema}
    notes = {name: counts(kind) for name, kind in plain.items() if pa.types.is_duration(kind)}
    changed = pa.schema(fields)

    def convert(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [
            column if column.type == field.type else _cast(column, field.type)
            for column, field in zip(batch.columns, changed, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=changed)

    return changed, convert, notes


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _acceptable(kind: pa.DataType) -> pa.DataType:
    plain = _plain(kind)
    if pa.types.is_decimal(plain) and (plain.precision > 38 or plain.scale < 0):
        return pa.string()
    if pa.types.is_decimal256(plain):
        return pa.decimal128(plain.precision, plain.scale)
    if pa.types.is_float16(plain):
        return pa.float32()
    return pa.int64() if pa.types.is_duration(plain) else kind


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(kind)


def counts(duration: pa.DataType) -> str:
    """Says what a duration's numbers are."""
    units = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    return f"it has durations, as a count of {units[duration.unit]}"
