"""Which type a column of texts has: one from which every text comes back, so that no value changes on the way.

A text may differ from what comes back only in how the same value is written: `1.50` and `1.5`, `.5` and `5.`, `+5`,
exponents, spaces (U+0020) around a value, `True` and `true`, `T` between date and time, seconds or fractions left out,
a date alone for its midnight among times, and a time's zone, whose instant is kept. What needs more stays text.
DuckDB reads what is inferred here, so each form is one that it and Arrow read alike.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from extract import reasons
from stepkit.errors import StepError

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

# What each may become when a value doesn't fit, in order. Every value that fits one fits those after it.
_WIDER = {
    "NULL": ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "VARCHAR"),
    "BIGINT": ("DOUBLE", "VARCHAR"),
    "DOUBLE": ("VARCHAR",),
    "BOOLEAN": ("VARCHAR",),
    "DATE": ("TIMESTAMP", "VARCHAR"),
    "TIMESTAMP": ("VARCHAR",),
    "TIMESTAMPTZ": ("VARCHAR",),
}
EXACT = 2**53  # a double has every whole number up to here, and not every one beyond
_SURE_DIGITS = 15  # as many decimal digits as any double keeps

_INTEGER = r"^ *(?:\+?0|[+-]?[1-9][0-9]*) *$"
_FIXED = r"^ *[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+) *$"
_NUMBER = r"^ *[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *$"
_DATE = r"^ *[0-9]{4}-[0-9]{2}-[0-9]{2} *$"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_TIME = rf"^ *[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[ T]{_CLOCK})? *$"
_ZONED = rf"^ *[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{_CLOCK}(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?) *$"


@dataclass(frozen=True)
class Column:
    """What is known of a column.

    Attributes:
        kind: the narrowest SQL type that all values fit; `NULL` while all are null.
        large: a whole number beyond 2^53 is among them, which a double might round.
        reason: why it is text, for people.
        lookalike: the value for which it is text looks like a number, date or boolean, so that other files may well
            have it as one.
    """

    kind: str = "NULL"
    large: bool = False
    reason: str = ""
    lookalike: bool = False


def learn(column: Column, texts: pa.Array, decimal: str = ".") -> Column:
    """Returns what is known of a column once a batch of its values is.

    Args:
        texts: the values; nulls are left out of account.
        decimal: the decimal point of numbers.
    """
    texts = texts.drop_null()
    if column.kind == "VARCHAR" or len(texts) == 0:
        return column
    found = _widen(column, texts, decimal)
    if found.kind != "VARCHAR":
        return found
    # The first value that doesn't fit: more values never fit a narrower type, so halving finds it.
    fitting, failing = 0, len(texts)
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        if _widen(column, texts.slice(0, middle), decimal).kind == "VARCHAR":
            failing = middle
        else:
            fitting = middle
    before = _widen(column, texts.slice(0, fitting), decimal) if fitting else column
    alone = _widen(Column(), texts.slice(fitting, 1), decimal)
    reason, lookalike = reasons.of_text(texts[fitting].as_py(), alone.kind, before.kind, decimal)
    return replace(found, reason=reason, lookalike=lookalike)


def _widen(column: Column, texts: pa.Array, decimal: str) -> Column:
    for kind in (column.kind, *_WIDER[column.kind]):
        if kind == "VARCHAR" or (kind == "DOUBLE" and column.large):
            return replace(column, kind="VARCHAR")
        if kind == "NULL" or not _fits(texts.slice(0, 8), kind, decimal):  # most columns of other types fail early
            continue
        if kind == "BIGINT":
            values = _integers(texts)
            if values is not None:
                extremes = pc.min_max(values).as_py()
                large = max(abs(extremes["min"]), abs(extremes["max"])) > EXACT
                return Column(kind, column.large or large)
        elif _fits(texts, kind, decimal):
            return Column(kind)
    raise AssertionError(column)


def _fits(texts: pa.Array, kind: str, decimal: str) -> bool:
    if kind == "BIGINT":
        return _integers(texts) is not None
    if kind == "DOUBLE":
        return _are_doubles(texts, decimal)
    if kind == "BOOLEAN":
        return _all(pc.is_in(pc.ascii_lower(texts), pa.array(["true", "false"])))
    if kind == "DATE":
        return _are_times(texts, _DATE, pa.date32())
    if kind == "TIMESTAMP":
        return _are_times(texts, _TIME, pa.timestamp("us"))
    return _are_times(texts, _ZONED, pa.timestamp("us", tz="UTC"))


def _integers(texts: pa.Array) -> pa.Array | None:
    values = _cast(texts, pa.int64())
    if values is not None and values.cast(pa.string()).equals(texts):
        return values
    if not _all(pc.match_substring_regex(texts, _INTEGER)):
        return None
    return _cast(pc.ascii_ltrim(pc.ascii_trim(texts, " "), "+"), pa.int64())


def _are_doubles(texts: pa.Array, decimal: str) -> bool:
    if decimal != ".":
        if pc.any(pc.match_substring(texts, ".")).as_py():
            return False
        texts = pc.replace_substring(texts, decimal, ".", max_replacements=1)
    doubtful = pc.greater(pc.binary_length(texts), _SURE_DIGITS)
    fixed = pc.match_substring_regex(texts, _FIXED)
    if not _all(fixed):
        if not _all(pc.match_substring_regex(texts, _NUMBER)):
            return False
        doubtful = pc.or_(doubtful, pc.invert(fixed))
    texts = texts.filter(doubtful)
    if len(texts) == 0:
        return True
    values = _cast(texts, pa.float64())
    if values is None:
        return False
    # What Arrow itself would write is there exactly, unless it is a whole number and thus an identifier, perhaps.
    written = pc.and_(pc.equal(values.cast(pa.string()), texts), pc.match_substring(texts, "."))
    return all(map(comes_back, pc.unique(texts.filter(pc.invert(written))).to_pylist()))


def comes_back(text: str) -> bool:
    """True if a double keeps the number that a text is: written with as many digits as it has, it is the same.

    A whole number beyond 2^53 without point or exponent never counts as kept: those near it would become the same.
    """
    try:
        exact = Decimal(text.strip(" "))
    except InvalidOperation:  # an exponent beyond any number's
        return False
    value = float(exact)
    if math.isinf(value) or (not value and exact):
        return False
    if not exact:
        return True
    if abs(exact) > EXACT and text.strip(" +-").isdigit():
        return False
    digits = len("".join(map(str, exact.as_tuple().digits)).strip("0"))
    return Decimal(repr(value)) == exact or Decimal(f"{value:.{digits - 1}e}") == exact


def _are_times(texts: pa.Array, form: str, kind: pa.DataType) -> bool:
    # In SQL the year 0 is 1 BC.
    if not _all(pc.match_substring_regex(texts, form)) or pc.any(pc.match_substring_regex(texts, "^ *0000")).as_py():
        return False
    return _cast(pc.ascii_trim(texts, " "), kind) is not None


def _cast(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None


def _all(mask: pa.Array) -> bool:
    return bool(pc.all(mask).as_py())


def unify(types: Mapping[str, Mapping[str, Column]], columns: Iterable[str]) -> dict[str, Column]:
    """Returns one type a column for several files.

    Text for a value that looks like a number makes the column text in all files; text for any other value, where
    another file has numbers, is an error.

    Args:
        types: file to column to what is known of it there.
        columns: the columns to unify.

    Raises:
        StepError: two files disagree.
    """
    return {name: _unify(name, {file: known.get(name, Column()) for file, known in types.items()}) for name in columns}


def _unify(name: str, known: Mapping[str, Column]) -> Column:
    text = next((column for column in known.values() if column.lookalike), None)
    if text:
        return text
    unified, origin = Column(), ""
    for file, other in known.items():
        kinds = (unified.kind, other.kind)
        large = unified.large or other.large
        if large and set(kinds) == {"BIGINT", "DOUBLE"}:
            return Column("VARCHAR", large, reasons.LARGE_AND_FRACTIONS, True)
        if kinds[0] == kinds[1] or other.kind == "NULL":
            unified = replace(unified, large=large)
        elif unified.kind == "NULL" or other.kind in _narrower_than_text(unified.kind):
            unified, origin = replace(other, large=large), file
        elif unified.kind not in _narrower_than_text(other.kind):
            raise StepError(
                f"Column {name!r} changes its type between files: {unified.kind} in {origin!r}, {other.kind} in "
                f'{file!r}. Correct the file, or say which it is by --column-types, e.g. {{"{name}": "VARCHAR"}}.'
            )
    return unified


def _narrower_than_text(kind: str) -> Sequence[str]:
    return _WIDER.get(kind, ())[:-1]
