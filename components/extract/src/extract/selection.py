"""Which rows and columns are extracted, as one SELECT."""

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from extract import databases, splits
from extract.errors import short
from extract.sources import TABLE
from extract.sql import identifier, plain_type
from stepkit.errors import StepError, near_misses

SPLIT = "split of the row"


def build(connection: Any, args: argparse.Namespace) -> str:
    """Returns a SELECT of the wanted columns and, last, of the index of the row's split (see `extract.splits`).

    A split by the whole row goes by all columns of the source or the query, so that `--columns` moves no row.

    Raises:
        StepError: the SQL is wrong, names a column that isn't there, or gives a type that examples can't hold.
    """
    base = f"SELECT * FROM {TABLE}"
    if args.query.strip() and not databases.is_database(args.source):
        base = _one_select(connection, args.query)
        # Threads would group and add up in an order of their own: the same input must give the same bytes.
        connection.execute("SET threads = 1")
    relation = _bind(connection, base, "--query", connection.sql(f"SELECT * FROM {TABLE}").columns)
    kinds = dict(zip(relation.columns, relation.types, strict=True))
    rows = f"(\n{base}\n) AS {TABLE}"
    where = f"WHERE (\n{args.where}\n)" if args.where.strip() else ""
    _bind(connection, f"SELECT * FROM {rows} {where}", "--where", list(kinds))
    wanted = wanted_columns(args.columns, kinds)
    chosen = ", ".join(
        f"CAST({identifier(name)} AS {_plain(name, kinds[name])}) AS {identifier(name)}" for name in wanted
    )
    if args.split_key and args.split_key not in kinds:
        raise StepError(f"--split-key {args.split_key!r} isn't a column. {near_misses(args.split_key, kinds)}")
    if args.split_by == "time":
        split = splits.by_time(connection, args.splits, args.split_key, kinds[args.split_key])
    else:
        split = splits.by_hash(args.splits, args.split_key, list(kinds))
    return f"SELECT {chosen}, {split} AS {identifier(SPLIT)} FROM {rows} {where}"


def wanted_columns(columns: Sequence[Any], present: Mapping[str, Any]) -> Sequence[str]:
    """Returns `columns`, or all that are present.

    Raises:
        StepError: one isn't present, or is given twice.
    """
    for position, name in enumerate(columns):
        if name not in present:
            raise StepError(f"--columns names {name!r}, which isn't a column. {near_misses(str(name), present)}")
        if name in columns[:position]:
            raise StepError(f"--columns names {name!r} twice. Remove one.")
    return columns or list(present)


def _one_select(connection: Any, query: str) -> str:
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise StepError(f"--query isn't valid SQL: {short(error)}. Correct it.") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise StepError("--query isn't one SELECT. Give one that reads from the table source.")
    return query.strip().rstrip(";")


def _bind(connection: Any, sql: str, flag: str, columns: Sequence[str]) -> Any:
    try:
        return connection.sql(sql)
    except duckdb.Error as error:
        if missing := re.search(r'Referenced column "(.*?)" (?:was )?not found', str(error)):
            raise StepError(
                f"{flag} names {missing[1]!r}, which isn't a column. {near_misses(missing[1], columns)}"
            ) from error
        raise StepError(f"{flag} isn't valid SQL: {short(error)}. Correct it.") from error


def _plain(name: str, kind: Any) -> str:
    plain = plain_type(kind)
    if not plain:
        raise StepError(
            f"Column {name!r} is {kind}: examples hold single values. Leave it out by --columns, "
            f"or take single values from it by --query, e.g. SELECT {identifier(name)}[1] AS first FROM source."
        )
    return plain
