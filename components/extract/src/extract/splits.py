"""Which split a row belongs to, as a SQL expression over the row."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import UnionType
from typing import Any

from extract.sql import identifier, literal
from extract.types import plain_type
from stepkit.errors import StepError, UsageError

HASH_RANGE = 2**64
REST = "rest"  # as None does, says that a split by time is the last: `kfp` takes no null in `pipeline.py`

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NULL = "chr(30)"
_BETWEEN = "chr(31)"


def in_order(by: str, splits: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the splits in an order that depends on what they say alone: backends reorder JSON objects.

    By hash the largest comes first (`train` of equals, then by name); by time, those that end at null come last, and
    the others in the order of their ends as text. There, `rest` becomes the None that it stands for.
    """
    if by == "time":
        ends = {name: None if end == REST else end for name, end in splits.items()}
        return dict(sorted(ends.items(), key=lambda item: (item[1] is None, _position(item[1]), item[0])))
    return dict(sorted(splits.items(), key=lambda item: (-item[1], item[0] != "train", item[0])))


def _position(end: Any) -> tuple[float, str]:
    """Sorts numbers by value, and times, which are ISO 8601, as text."""
    return (end, "") if isinstance(end, int | float) else (0, str(end))


def check_names(splits: Mapping[str, Any]) -> None:
    """Raises StepError unless every split can be a folder's name and there is at least one."""
    if not splits:
        raise StepError('--splits names no split. Give at least one, e.g. {"train": 4, "eval": 1, "test": 1}.')
    for name in splits:
        if not _NAME.fullmatch(name) or name == "manifest.json":
            raise StepError(f"Split {name!r} in --splits can't name a folder. Use letters, digits, '_', '-' and '.'.")


def check_shares(shares: Mapping[str, Any]) -> None:
    """Raises StepError unless every share is a positive number."""
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < float("inf"):
            raise StepError(
                f"The share of split {name!r} in --splits is {share!r}. Give a number above 0, "
                "or --split-by time where it is a time."
            )


def by_hash(shares: Mapping[str, Any], key: str, columns: Sequence[str]) -> str:
    """Returns the SQL for the index of a row's split among `shares`.

    The hash is the last 8 bytes of an MD5, as a little-endian unsigned integer: the MD5 of the key as text; or, without
    a key, of all values as text in the order of their columns' names, with U+001F between them and U+001E for a null.
    A split gets a range of hashes as wide as its share, the ranges being in the order of the splits' names: so a
    backend that reorders JSON objects changes nothing, nor does the order of rows, files or columns.

    Args:
        shares: split name to a positive number.
        key: a column, or '' for the whole row.
        columns: the row's columns.
    """
    if key:
        text = f"coalesce({identifier(key)}::VARCHAR, {_NULL})"
    else:
        values = [f"coalesce({identifier(name)}::VARCHAR, {_NULL})" for name in sorted(columns)]
        text = f"concat_ws({_BETWEEN}, {', '.join(values)})"
    index = {name: number for number, name in enumerate(shares)}
    *bounded, last = sorted(shares)
    if not bounded:
        return f"{index[last]}::UTINYINT"
    total = sum(map(Fraction, shares.values()))
    cases, reached = [], Fraction(0)
    for name in bounded:
        reached += Fraction(shares[name])
        bound = int(reached / total * HASH_RANGE)
        cases.append(f"WHEN md5_number_lower({text}) < {bound}::UBIGINT THEN {index[name]}")
    return f"(CASE {' '.join(cases)} ELSE {index[last]} END)::UTINYINT"


def by_time(connection: Any, ends: Mapping[str, Any], key: str, kind: Any) -> str:
    """Returns the SQL for the index of a row's split among `ends`; null where the row has no time.

    Args:
        connection: DuckDB's.
        ends: split name to where it ends, exclusively; one is None. Text for dates and times (UTC, ISO 8601), numbers
            for numbers.
        key: the column with the time.
        kind: its DuckDB type.

    Raises:
        StepError: the column is no time, or an end isn't one.
    """
    plain = plain_type(kind)
    right: type | UnionType
    if plain in ("DATE", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ", "TIMESTAMPTZ_NS"):
        compared, right, example = "TIMESTAMPTZ" if "TZ" in plain else "TIMESTAMP", str, '"2013-09-01"'
    elif plain in ("BIGINT", "DOUBLE"):
        compared, right, example = plain, int | float, "1378000000"
    else:
        raise StepError(
            f"--split-key {key!r} is {kind}, no time. Name a column of dates, times or numbers, "
            f'or make it one: --column-types {{"{key}": "TIMESTAMP"}}.'
        )
    bounds = []
    for name, end in ends.items():
        if end is None:
            continue
        cast = f"TRY_CAST({literal(end)} AS {compared})"
        position = cast if compared in ("BIGINT", "DOUBLE") else f"epoch_us({cast})"
        fits = isinstance(end, right) and not isinstance(end, bool)
        found = connection.sql(f"SELECT {position}").fetchall()[0][0] if fits else None
        if found is None:
            raise StepError(
                f"Split {name!r} in --splits ends at {end!r}, but column {key!r} is {kind}. "
                f"Give an end such as {example}."
            )
        bounds.append((found, name, cast))
    index = {name: number for number, name in enumerate(ends)}
    last = next(name for name, end in ends.items() if end is None)
    column = f"CAST({identifier(key)} AS {compared})"
    cases = " ".join(f"WHEN {column} < {cast} THEN {index[name]}" for _, name, cast in sorted(bounds))
    return f"(CASE WHEN {column} IS NULL THEN NULL {cases} ELSE {index[last]} END)::UTINYINT"


def check(by: str, splits: Mapping[str, Any], key: str) -> None:
    """Checks what can be checked of the splits before anything is read.

    Args:
        by: hash or time.
        splits: `--splits`.
        key: `--split-key`.

    Raises:
        StepError: a split's name, share or end can't be used.
        UsageError: splitting by time lacks a key.
    """
    check_names(splits)
    if by == "hash":
        check_shares(splits)
        return
    if not key:
        raise UsageError("--split-by time needs a --split-key: the column with the time")
    open_ended = [name for name, end in splits.items() if end in (None, REST)]
    if len(open_ended) != 1:
        raise StepError(
            f'By time, one split in --splits is the last and has the "{REST}" (or null); {len(open_ended)} do. '
            f'E.g. {{"train": "2013-09-01", "eval": "2013-11-01", "test": "{REST}"}}.'
        )


def describe(by: str, splits: Mapping[str, Any], name: str) -> str:
    """Returns what `--splits` gives a split, for a message."""
    if by == "hash":
        return f"its share is {splits[name]:.10g} of {sum(splits.values()):.10g}"
    return "it has the rest" if splits[name] is None else f"it ends at {splits[name]!r}"
