"""Which type a column of texts has: found by converting every value, so that no later one can come as a surprise."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

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
_ARROW = {
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


def widen(kind: str, texts: pa.Array) -> str:
    """Returns the narrowest SQL type, `kind` or wider, that every text fits; `NULL` while all are null."""
    if kind == "VARCHAR" or texts.null_count == len(texts):
        return kind
    for candidate in (kind, *_WIDER[kind]):
        if candidate == "VARCHAR" or (candidate != "NULL" and _fits(texts, candidate, kind)):
            return candidate
    raise AssertionError(kind)


def _fits(texts: pa.Array, candidate: str, before: str) -> bool:
    for form in (texts, pc.utf8_trim_whitespace(texts)):
        if not _converts(form, _ARROW[candidate]):
            continue
        # A double would round whole numbers beyond 64 bits: such are identifiers, better kept as text.
        if candidate == "DOUBLE" and before != "DOUBLE":
            return not pc.any(pc.match_substring_regex(form, r"^[+-]?[0-9]{19,}$")).as_py()
        return True
    return False


def _converts(texts: pa.Array, kind: pa.DataType) -> bool:
    try:
        # Arrow words an error for every value that fails, which is slow: most columns of other types fail early.
        texts.drop_null().slice(0, 8).cast(kind)
        texts.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def unify(types: Mapping[str, Mapping[str, str]], columns: Sequence[str]) -> dict[str, str]:
    """Returns one type a column for several files.

    Args:
        types: file to column to its type there.
        columns: the columns to unify.

    Raises:
        StepError: two files disagree.
    """
    unified = {}
    for name in columns:
        kind, origin = "NULL", ""
        for file, kinds in types.items():
            other = kinds.get(name, "NULL")
            if other in (kind, "NULL"):
                continue
            if kind == "NULL" or other in _WIDER.get(kind, ())[:-1]:
                kind, origin = other, file
            elif kind not in _WIDER.get(other, ())[:-1]:
                raise StepError(
                    f"Column {name!r} changes its type between files: {kind} in {origin!r}, {other} in {file!r}. "
                    f'Correct the file, or say which it is by --column-types, e.g. {{"{name}": "VARCHAR"}}.'
                )
        unified[name] = kind
    return unified
