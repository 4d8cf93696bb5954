"""Which rows and columns are extracted, as one SELECT."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from extract import databases, splits, spool
from extract.errors import reading, short
from extract.names import refuse_clashes
from extract.sources import TABLE
from extract.sql import identifier
from extract.types import fitting, is_doubtful, plain_type, rule
from stepkit.errors import StepError, near_misses

SPLIT = "split of the row"


@dataclass(frozen=True)
class Selection:
    """A SELECT of the wanted columns and, last, of the index of the row's split (see `extract.splits`).

    Attributes:
        sql: the SELECT.
        reasons: column to why it is text, or another type than one might expect.
        noted: those of these columns that are worth a line in the log.
    """

    sql: str
    reasons: Mapping[str, str]
    noted: frozenset[str]


def build(connection: Any, args: argparse.Namespace, once: bool = False) -> Selection:
    """Returns what the command line selects.

    A split by the whole row goes by all columns of the source or the query, so that `--columns` moves no row.

    Args:
        connection: DuckDB's.
        args: the command line.
        once: the source can be read only once.

    Raises:
        StepError: the SQL is wrong, names a column that isn't there, or gives a type that examples can't hold.
    """
    base = f"SELECT * FROM {TABLE}"
    queried = bool(args.query.strip()) and not databases.is_database(args.source)
    if queried:
        base = _one_select(connection, args.query)
        # Threads would group and add up in an order of their own: the same input must give the same bytes.
        connection.execute("SET threads = 1")
    relation = _bind(connection, base, "--query", connection.sql(f"SELECT * FROM {TABLE}").columns)
    refuse_clashes(relation.columns, "--query", "Rename one by AS.")
    kinds = dict(zip(relation.columns, relation.types, strict=True))
    rows = f"(\n{base}\n) AS {TABLE}"
    where = f"WHERE (\n{args.where}\n)" if args.where.strip() else ""
    _bind(connection, f"SELECT * FROM {rows} {where}", "--where", list(kinds))
    wanted = wanted_columns(args.columns, kinds)
    become = {name: _plain(name, kinds[name]) for name in wanted}
    if args.split_key and args.split_key not in kinds:
        raise StepError(f"--split-key {args.split_key!r} isn't a column. {near_misses(args.split_key, kinds)}")
    doubtful = {name: kinds[name] for name in wanted if is_doubtful(kinds[name])}
    if doubtful and (queried or once):
        rows, where = f"({spool.keep(connection, f'SELECT * FROM {rows} {where}', 'selected')}) AS {TABLE}", ""
    if doubtful:
        become.update(_decide(connection, f"FROM {rows} {where}", doubtful))
    chosen = ", ".join(f"CAST({identifier(name)} AS {become[name]}) AS {identifier(name)}" for name in wanted)
    if args.split_by == "time":
        split = splits.by_time(connection, args.splits, args.split_key, kinds[args.split_key])
    else:
        split = splits.by_hash(args.splits, args.split_key, list(kinds))
    sql = f"SELECT {chosen}, {split} AS {identifier(SPLIT)} FROM {rows} {where}"
    lost = frozenset(name for name in doubtful if become[name] == "VARCHAR")
    reasons = {name: rule(kinds[name]).why for name in wanted if become[name] == "VARCHAR" and rule(kinds[name]).why}
    return Selection(sql, reasons, lost)


def _decide(connection: Any, rows: str, doubtful: Mapping[str, Any]) -> dict[str, str]:
    """Returns for each doubtful column the first type that all its values fit, else text."""
    choices = [
        (name, becomes, condition)
        for name, kind in doubtful.items()
        for becomes, condition in fitting(identifier(name), kind)
    ]
    conditions = ", ".join(
        f"coalesce(bool_and({condition}) FILTER ({identifier(name)} IS NOT NULL), true)"
        for name, _, condition in choices
    )
    with reading():
        fits = connection.sql(f"SELECT {conditions} {rows}").fetchall()[0]
    found = dict.fromkeys(doubtful, "VARCHAR")
    for (name, becomes, _), fit in reversed(list(zip(choices, fits, strict=True))):
        found[name] = becomes if fit else found[name]
    return found


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
        raise StepError(f"Column {name!r} is {kind}: {rule(kind).why.format(column=identifier(name))}")
    return plain
