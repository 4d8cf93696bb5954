"""Which split a row belongs to, as a SQL expression over the row."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from stepkit.errors import StepError, near_misses

from extract.sql import identifier, literal

HASH_RANGE = 2**64

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NULL = "chr(30)"
_BETWEEN = "chr(31)"


def check_names(splits: Mapping[str, Any]) -> None:
    """Raises StepError unless every split can be a folder's name and there is at least one."""
    if not splits:
        raise StepError('--splits names no split. Give at least one, e.g. {"train": 2, "eval": 1}.')
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
