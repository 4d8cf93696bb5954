"""Which rows and columns are extracted, as one SELECT."""

import argparse
from dataclasses import dataclass
from typing import Any

import duckdb
from stepkit.errors import StepError, near_misses

from extract import splits
from extract.errors import explain
from extract.sources import TABLE
from extract.sql import identifier

SPLIT = "split of the row"  # the extra column; a space keeps it apart from sensible names

_TYPES = {
    **dict.fromkeys(
        ("tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
        "BIGINT",
    ),
    **dict.fromkeys(("float", "double", "decimal"), "DOUBLE"),
    **dict.fromkeys(("varchar", "uuid", "enum", "bit", "null", "time with time zone"), "VARCHAR"),
    **dict.fromkeys(("timestamp", "timestamp_s", "timestamp_ms"), "TIMESTAMP"),
    "timestamp_ns": "TIMESTAMP_NS",
    "timestamp with time zone": "TIMESTAMPTZ",
    "boolean": "BOOLEAN",
    "blob": "BLOB",
    "date": "DATE",
    "time": "TIME",
}


@dataclass(frozen=True)
class Selection:
    """A SELECT of the wanted columns and, last, of the index of the row's split."""

    sql: str


def build(connection: Any, args: argparse.Namespace) -> Selection:
    """Returns the SELECT for `--query`, `--where`, `--columns` and the splits.

    Raises:
        StepError: the SQL is wrong, or names a column that isn't there.
    """
    base = f"SELECT * FROM {TABLE}"
    try:
        relation = connection.sql(base)
    except duckdb.Error as error:
        raise explain(str(error)) from error
    kinds = dict(zip(relation.columns, relation.types, strict=True))
    for name in args.columns:
        if name not in kinds:
            raise StepError(f"--columns names {name!r}, which the source doesn't have. {near_misses(name, kinds)}")
    wanted = args.columns or list(kinds)
    chosen = ", ".join(f"CAST({identifier(name)} AS {_TYPES[kinds[name].id]}) AS {identifier(name)}" for name in wanted)
    split = splits.by_hash(args.splits, args.split_key, list(kinds))
    where = f" WHERE (\n{args.where}\n)" if args.where.strip() else ""
    return Selection(f"SELECT {chosen}, {split} AS {identifier(SPLIT)} FROM (\n{base}\n) AS {TABLE}{where}")
