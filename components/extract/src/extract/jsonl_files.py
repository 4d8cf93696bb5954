"""JSON Lines files as a SQL table."""

import codecs
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from extract import inference, json_numbers, json_texts, packed, reasons, spool
from extract.errors import explain
from extract.files import SourceFile
from extract.inference import Column
from extract.json_texts import ELEMENTS, Leaf
from extract.names import refuse_clashes
from extract.sql import identifier, literal
from extract.streaming import stream
from extract.tables import Table
from stepkit.errors import StepError

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

# DuckDB calls whole numbers of both signs HUGEINT.
_WHOLE = ("BIGINT", "UBIGINT", "HUGEINT")
_KINDS = {"NULL": "NULL", "BOOLEAN": "BOOLEAN", **dict.fromkeys(_WHOLE, "BIGINT"), "DOUBLE": "DOUBLE"}
# What a fraction has that a double may round.
_DIGITS = "[1-9][0-9.]{16}"
# What a number has that a double may round or that 64 bits may not hold; most files have none.
_LONG = "[0-9]{16}|[0-9][eE][+-]?[0-9]{3}"
# What a number has of which DuckDB may have another text.
_WRITTEN = r"[:,\[]\s*(?:-?[0-9]+[.eE]|-0|-?[nN][aA][nN]|-?[iI][nN][fF])"
# Types that are read as such: JSON's own objects, arrays and texts of bytes aren't what SQL makes of texts.
_NOT_BY_TEXT = ("list", "array", "struct", "tuple", "map", "union", "variant", "blob", "bit")


_TOO_DEEP = "nested too deep. Write it flatter, or nested values as text."


@dataclass(frozen=True)
class _File:
    """What is known of a file.

    Attributes:
        columns: name to what its values show.
        leaves: the ways to numbers that become text, within objects and arrays, too.
        structure: what DuckDB says of its objects.
        is_written: it may have numbers of which DuckDB has another text.
    """

    columns: Mapping[str, Column]
    leaves: Sequence[Leaf]
    structure: Mapping[str, Any]
    is_written: bool


def table(
    connection: Any, files: Sequence[SourceFile], column_types: Mapping[str, str], advance: Callable[[int], None]
) -> Table:
    """Returns a SELECT over JSON Lines files, having read every line once to know the types.

    A key that is absent is a null. Objects and arrays come as STRUCT and lists, for a query to take apart. Whole
    numbers that 64 bits don't hold, and those that a double would round beside fractions, are text.

    Args:
        connection: DuckDB's.
        column_types: column to SQL type, where it isn't to be inferred.
        advance: called with the number of rows read.

    Raises:
        StepError: a line isn't a JSON object or has a key twice, or a key's values are of different types.
    """
    found: dict[str, _File] = {}
    for file in files:
        packed.verify(file.path)
        found[file.path] = _infer(connection, file.path, column_types, advance)
    types = {path: file.columns for path, file in found.items()}
    columns = list(dict.fromkeys(name for kinds in types.values() for name in kinds))
    refuse_clashes(columns, "The source")
    inferred = inference.unify(types, [name for name in columns if name not in column_types])
    kinds = {name: "VARCHAR" if column.kind == "NULL" else column.kind for name, column in inferred.items()}
    # DuckDB's reader would round to a declared type without a word. As text values reach the cast, which refuses them.
    kinds.update({name: _read_as(connection, kind) for name, kind in column_types.items() if name in columns})
    kinds = {name: kinds[name] for name in columns}
    places = _rewrite(connection, found, [(name,) for name, kind in kinds.items() if kind == "VARCHAR"])
    notes = {name: column.reason for name, column in inferred.items() if column.reason}
    read = {original: path for path, original in places.items()}
    paths = [read.get(path, path) for path in found]
    parts = {path: _select([path], kinds) for path in paths}
    return Table(_select(paths, kinds), notes, frozenset(notes), places, parts=parts)


def _select(paths: Sequence[str], kinds: Mapping[str, str]) -> str:
    return (
        f"SELECT * FROM read_json({literal(paths)}, format='newline_delimited', columns={literal(kinds)}, "
        "hive_partitioning=false)"
    )


def _read_as(connection: Any, kind: str) -> str:
    """Returns the type as which a column is read that has a declared one."""
    target = connection.sql(f"SELECT CAST(NULL AS {kind})").types[0]
    return kind if target.id in _NOT_BY_TEXT else "VARCHAR"


def _rewrite(connection: Any, found: Mapping[str, _File], texts: Sequence[Leaf]) -> dict[str, str]:
    """Writes files anew that have numbers where text is wanted, and returns what is read instead of which file."""
    places = {}
    for number, (path, file) in enumerate(found.items()):
        wanted = {leaf: file.structure.get(leaf[0]) for leaf in texts}
        leaves = [leaf for leaf, structure in wanted.items() if structure not in (None, "NULL", "VARCHAR", "BOOLEAN")]
        leaves += [leaf for leaf in file.leaves if leaf[:1] not in leaves]
        # Of an object, DuckDB leaves out the spaces.
        nested = any(isinstance(structure, dict | list) for structure in wanted.values())
        if leaves and (file.is_written or nested):
            written = spool.folder(connection) / f"rewritten-{number}.jsonl"
            json_texts.rewrite(path, _lines(path), leaves, written)
            places[str(written)] = path
    return places


def _infer(connection: Any, path: str, column_types: Mapping[str, str], advance: Callable[[int], None]) -> _File:
    scan = (
        f"SELECT count(*), json_group_structure(json), bool_or(regexp_matches(json, {literal(_LONG)})), "
        f"bool_or(regexp_matches(json, {literal(_WRITTEN)})) "
        f"FROM read_ndjson_objects({literal([path])})"
    )
    try:
        rows, text, long, is_written = connection.sql(scan).fetchall()[0]
    except duckdb.Error as error:
        raise _bad_line(path) or _explain(path, str(error)) from error
    if not rows:
        raise StepError(f"{path!r} has no rows. Remove it, or write it again.")
    advance(rows)
    try:
        structure = json.loads(text)
    except RecursionError as error:
        raise _bad_line(path) or StepError(f"{path!r} has a value that is {_TOO_DEEP}") from error
    if not isinstance(structure, dict):
        raise _bad_line(path) or StepError(f"{path!r} has objects without a key in any line. Write it again.")
    _check_keys(path, structure)
    for name, kind in structure.items():
        if kind == "JSON" and name not in column_types:
            raise _changing(path, name)
    inferred = {name: kind for name, kind in structure.items() if name not in column_types}
    columns = {
        **dict.fromkeys(structure, Column()),
        **{name: Column(_sql_type(kind, [name])) for name, kind in inferred.items()},
    }
    leaves = [leaf for name, kind in inferred.items() for leaf in _numbers([name], kind)]
    found: dict[Leaf, Column] = {}
    if long and leaves:
        _warn_of_rounding(connection, path)
        found = _learn(connection, path, leaves)
        for leaf, shown in json_numbers.lost(connection, path).items():
            if leaf in found:
                found[leaf] = Column("VARCHAR", reason=reasons.lost(shown), lookalike=True)
        for name in {leaf[0] for leaf in leaves}:
            columns[name] = _exact(structure[name], [name], found)
    texts = [leaf for leaf, column in found.items() if column.kind == "VARCHAR"]
    return _File(columns, texts, structure, is_written)


def _warn_of_rounding(connection: Any, path: str) -> None:
    """Tells which columns have fractions with more digits than a double has; DuckDB has only the double of a fraction.

    Looks at the first 1,000 lines that have so many digits.
    """
    scan = f"SELECT json FROM read_ndjson_objects({literal([path])}) WHERE regexp_matches(json, {literal(_DIGITS)}) "
    columns: dict[str, str] = {}
    for (line,) in connection.sql(f"{scan} LIMIT 1000").fetchall():
        value = json.loads(line, parse_float=lambda text: float(text) if inference.comes_back(text) else _Rounded(text))
        for name, item in value.items():
            if text := _rounded(item):
                columns.setdefault(name, text)
    for name, text in columns.items():
        print(
            f"extract: warning: column {name!r} has numbers such as {text} in {path!r}, with more digits than a double "
            "keeps: they are rounded. Write them as text if each digit counts",
            file=sys.stderr,
        )


class _Rounded(str):
    """A number that a double would round."""


def _rounded(value: Any) -> str:
    if isinstance(value, _Rounded):
        return str(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_rounded, items)), "")


def _check_keys(path: str, structure: Any) -> None:
    if isinstance(structure, list):
        _check_keys(path, structure[0])
    elif isinstance(structure, dict):
        seen: dict[str, str] = {}
        for name, kind in structure.items():
            if not name:
                raise StepError(f"{path!r} has a key without a name, which no column can have. Name it.")
            if name.lower() in seen:
                raise StepError(
                    f"{path!r} has the keys {seen[name.lower()]!r} and {name!r}, which SQL takes for the same. "
                    "Rename one."
                )
            seen[name.lower()] = name
            _check_keys(path, kind)


def _numbers(path: list[str], structure: Any) -> Iterator[tuple[str, ...]]:
    """Yields the paths of the numbers that may be too long; `*` stands for an array's elements."""
    if isinstance(structure, list):
        yield from _numbers([*path, ELEMENTS], structure[0])
    elif isinstance(structure, dict):
        for name, kind in structure.items():
            yield from _numbers([*path, name], kind)
    elif structure in (*_WHOLE, "DOUBLE"):
        yield tuple(path)


def _learn(connection: Any, path: str, leaves: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], Column]:
    """Reads numbers as they are written: DuckDB keeps the text of those too long for 64 bits."""
    flat: list[tuple[str, ...]] = [leaf for leaf in leaves if len(leaf) == 1]
    found = dict.fromkeys(leaves, Column())
    for group in [flat, *([leaf] for leaf in leaves if len(leaf) > 1)]:
        if not group:
            continue
        if group is flat:
            kinds = literal({name: "VARCHAR" for (name,) in flat})
            names = ", ".join(identifier(name) for (name,) in flat)
            sql = f"SELECT {names} FROM read_json({literal([path])}, format='newline_delimited', columns={kinds})"
        else:
            sql = f"SELECT {_values(group[0])} FROM read_ndjson_objects({literal([path])})"
        for batch in stream(connection, sql)[1]:
            for leaf, texts in zip(group, batch.columns, strict=True):
                # Python writes these for doubles that have no other way to be written.
                words = pc.is_in(texts, pa.array(["NaN", "Infinity", "-Infinity", "null"]))
                found[leaf] = inference.learn(found[leaf], texts.filter(pc.invert(words)))
    return found


def _values(leaf: tuple[str, ...]) -> str:
    """Returns the SQL for the texts of a number within objects and arrays, a row each."""
    steps = ("[*]" if part == ELEMENTS else f".{json.dumps(part, ensure_ascii=False)}" for part in leaf)
    value = f"json_extract_string(json, {literal('$' + ''.join(steps))})"
    return f"unnest({value})" if ELEMENTS in leaf else value


def _exact(structure: Any, path: list[str], found: Mapping[tuple[str, ...], Column]) -> Column:
    """Returns a column whose numbers are text where they would change otherwise."""
    kind = _sql_type(structure, path, {leaf: column.kind for leaf, column in found.items() if column.kind != "NULL"})
    return Column(kind) if isinstance(structure, dict | list) else replace(found[tuple(path)], kind=kind)


def _sql_type(structure: Any, path: Sequence[str] = (), numbers: Mapping[tuple[str, ...], str] | None = None) -> str:
    if isinstance(structure, list):
        return f"{_sql_type(structure[0], [*path, ELEMENTS], numbers)}[]"
    if isinstance(structure, dict):
        fields = ", ".join(
            f"{identifier(name)} {_sql_type(kind, [*path, name], numbers)}" for name, kind in structure.items()
        )
        return f"STRUCT({fields})"
    if structure == "NULL" and len(path) > 1:
        return "VARCHAR"  # SQL has no objects of what has no type
    return (numbers or {}).get(tuple(path)) or _KINDS.get(structure, "VARCHAR")


def _explain(path: str, message: str) -> StepError:
    place = re.search(r"in line (\d+): (.+?)\.", message)
    if "maximum_object_size" in message:
        return StepError(f"{path!r} has a line longer than 16 MiB. Write shorter ones.")
    if not place:
        return explain(f"{message} (in {path})")
    # DuckDB counts the lines of malformed JSON from 2.
    return StepError(
        f"{path!r}, line {int(place[1]) - 1}: not JSON ({place[2]}). Correct it: each line is one JSON object, in "
        "UTF-8 without a byte order mark."
    )


def _bad_line(path: str) -> StepError | None:
    for number, line in _lines(path):
        if number == 1 and line.startswith(codecs.BOM_UTF8):
            return StepError(f"{path!r}, line 1: it starts with a byte order mark. Save the file as UTF-8 without one.")
        try:
            value = json.loads(line, object_pairs_hook=_once)
        except UnicodeDecodeError:
            return StepError(f"{path!r}, line {number}: the bytes aren't UTF-8 text. Save the file as UTF-8.")
        except RecursionError:
            return StepError(f"{path!r}, line {number}: it is {_TOO_DEEP}")
        except KeyError as error:
            return StepError(f"{path!r}, line {number}: it has the key {error} twice. Write it once.")
        except ValueError as error:
            if number == 1 and line.lstrip().startswith(b"["):
                return StepError(
                    f"{path!r}, line 1: not JSON Lines, but the start of an array. Write one object a line, as "
                    "`jq -c '.[]'` does."
                )
            return StepError(f"{path!r}, line {number}: not JSON ({error}). Correct it: each line is one JSON object.")
        if not isinstance(value, dict):
            return StepError(
                f"{path!r}, line {number}: {type(value).__name__}, not an object. Write one object a line."
            )
    return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise KeyError(name)
        found[name] = value
    return found


def _changing(path: str, name: str) -> StepError:
    kinds: dict[str, int] = {}
    for number, line in _lines(path):
        value = json.loads(line).get(name)
        if value is not None:
            kinds.setdefault("number" if type(value) in (int, float) else type(value).__name__, number)
    found = ", ".join(f"{kind} in line {number}" for kind, number in list(kinds.items())[:3])
    return StepError(
        f"Column {name!r} changes its type in {path!r}: {found}. "
        f'Correct the file, or say which it is by --column-types, e.g. {{"{name}": "VARCHAR"}}.'
    )


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    with packed.unpacked(path) as stored:
        for number, line in enumerate(stored, start=1):
            if line.strip():
                yield number, line
