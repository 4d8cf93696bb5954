"""How CSV files are written: what the command line says, and what the files' first rows show."""

import codecs
import contextlib
import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from extract.names import refuse_clashes
from stepkit.errors import StepError, UsageError

DELIMITERS = ",\t;|"
LONGEST = 2_000_000  # bytes of a row that DuckDB takes
_ROWS = 200  # as many rows of a file as are asked for its delimiter
_NAMES = {"\\t": "\t", "tab": "\t"}


@dataclass(frozen=True)
class Dialect:
    """How the files of a source are written.

    Attributes:
        delimiter: between values; '' until it is found.
        decimal: the decimal point, `.` or `,`.
        quote: around values that have special characters; '' if none is.
        escape: takes the next character as it is; '' if a quote in a quoted value is doubled.
        comment: a line that starts with it is none of the table's; '' if there are none.
        encoding: a codec of Python's.
        header: the first row has the columns' names.
        names: the columns' names, instead of the header's.
    """

    delimiter: str = ""
    decimal: str = "."
    quote: str = '"'
    escape: str = ""
    comment: str = ""
    encoding: str = "utf-8"
    header: bool = True
    names: tuple[str, ...] = ()

    def plain(self) -> bool:
        """True if DuckDB reads such files as Python's reader does; it has other ideas of comments and escapes."""
        return self.encoding == "utf-8" and not self.escape and not self.comment

    def reader(self, lines: Any, strict: bool = True) -> Any:
        """Returns Python's reader of such files, which takes values as long as DuckDB does."""
        csv.field_size_limit(LONGEST)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape or None,
            strict=strict,
        )


def from_args(args: Any) -> Dialect:
    """Returns what the command line says.

    Raises:
        UsageError: an option has no such value, or two have the same.
    """
    characters = {}
    for flag in ("delimiter", "quote", "escape", "comment"):
        text = _NAMES.get(getattr(args, flag), getattr(args, flag))
        if len(text) > 1 or text in ("\n", "\r") or not text.isascii():
            raise UsageError(f"--{flag} is {text!r}; give one ASCII character, e.g. ';', or \\t for a tab")
        characters[flag] = text
    if characters["escape"] == characters["quote"]:
        characters["escape"] = ""  # doubled, as it is without
    used: dict[str, str] = {}
    for flag, text in characters.items():
        if text and text in used:
            raise UsageError(f"--{used[text]} and --{flag} are both {text!r}; they must differ")
        used[text] = flag
    if args.decimal not in (".", ","):
        raise UsageError(f"--decimal is {args.decimal!r}; give '.' or ','")
    if args.decimal == characters["delimiter"]:
        raise UsageError(f"--decimal and --delimiter are both {args.decimal!r}; they must differ")
    names = tuple(args.column_names)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError('--column-names takes texts that aren\'t blank, e.g. ["id", "price"]')
    refuse_clashes(names, "--column-names")
    try:
        encoding = codecs.lookup(args.encoding).name
    except LookupError as error:
        raise UsageError(f"--encoding {args.encoding!r} isn't known; give utf-8, cp1252 or utf-16, say") from error
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding
    return Dialect(decimal=args.decimal, encoding=encoding, header=args.header, names=names, **characters)


def find_delimiter(samples: Mapping[str, tuple[str, bool]], dialect: Dialect) -> str:
    """Returns the delimiter by which every row of every file has as many values as its file's first.

    Quotes are respected. Where several would do, one is left out that has spaces after it in the header and not in the
    rows (`temp, C`), or that cuts through quotes.

    Args:
        samples: file to its first lines, without comments, and whether they are all of it.

    Raises:
        StepError: several delimiters fit, or files have different ones.
    """
    fitting = {
        path: {item: _doubts(*sample, replace(dialect, delimiter=item)) for item in DELIMITERS}
        for path, sample in samples.items()
    }
    fits = {path: [item for item, doubts in found.items() if doubts is not None] for path, found in fitting.items()}
    common = [item for item in DELIMITERS if all(item in found for found in fits.values())]
    if len(common) > 1:
        sure = [item for item in common if not any(found[item] for found in fitting.values())]
        common = sure if len(sure) == 1 else common
    if len(common) == 1:
        return common[0]
    first = next(iter(samples))
    if common:
        raise StepError(
            f"{first!r} can be read with {' or '.join(map(repr, common))} between its values: each gives all rows as "
            f"many values as the first. Say which it is by --delimiter, e.g. --delimiter {common[0]!r}."
        )
    for path, found in fits.items():
        if found and fits[first] and not set(found) & set(fits[first]):
            raise StepError(
                f"{first!r} has {fits[first][0]!r} between its values, and {path!r} {found[0]!r}. Extract them one by "
                "one, or say --delimiter if one of them is misread."
            )
    return _likeliest(samples, dialect)


def _doubts(text: str, whole: bool, dialect: Dialect) -> int | None:
    """Returns how many signs there are against a delimiter that fits; None for one that doesn't."""
    rows: list[list[str]] = []
    try:
        for row in itertools.islice(dialect.reader(io.StringIO(text, newline="")), _ROWS):
            rows += [row] if row else []
    except csv.Error as error:
        if whole or "end of data" not in str(error):
            return None
    columns = len(rows[0]) if rows else 0
    # A delimiter after the last value of a row adds an empty one.
    if columns < 2 or not all(len(row) == columns or (len(row) == columns + 1 and not row[-1]) for row in rows):
        return None
    padded = any(value[:1] == " " for value in rows[0][1:])
    rows_padded = any(value[:1] == " " for row in rows[1:] for value in row[1:])
    doubts = int(padded and not rows_padded and len(rows) > 1)
    if dialect.quote:
        doubts += any(value.count(dialect.quote) % 2 for row in rows for value in row)
    return doubts


def first_rows(text: str, dialect: Dialect) -> list[list[str]]:
    """Returns the rows that a file's first lines have, up to what can't be read; blank ones aren't among them."""
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows.extend(itertools.islice(filter(None, dialect.reader(io.StringIO(text, newline=""), strict=False)), _ROWS))
    return rows


def _likeliest(samples: Mapping[str, tuple[str, bool]], dialect: Dialect) -> str:
    """Returns what to read files by of which no delimiter fits all rows: the reader then says which row is wrong."""
    counts = dict.fromkeys(DELIMITERS, 0)
    for text, _ in samples.values():
        for item in DELIMITERS:
            rows = [len(row) for row in first_rows(text, replace(dialect, delimiter=item))]
            counts[item] += sum(found == rows[0] for found in rows) if rows and rows[0] > 1 else 0
    best = max(counts.values())
    found = [item for item, count in counts.items() if count == best]
    if best and len(found) > 1:
        raise StepError(
            f"{next(iter(samples))!r} has no delimiter by which all rows have as many values as the first: "
            f"{' and '.join(map(repr, found))} come as near. Say which it is by --delimiter, then correct the rows."
        )
    return found[0]


def header(path: str, row: Sequence[str], dialect: Dialect) -> tuple[str, ...]:
    """Returns the columns' names: those given, the header's, or column0, column1 and so on without a header.

    The first column is `index` if it has no name, as pandas writes one; the last may stay without a name, ''.

    Raises:
        StepError: another column has no name, or two have the same.
    """
    if dialect.names:
        return dialect.names
    if not dialect.header:
        return tuple(f"column{number}" for number in range(len(row)))
    names = list(row)
    if len(names) > 1 and not names[0].strip():
        names[0] = "index"
    for number, name in enumerate(names, start=1):
        if not name.strip() and (number == 1 or number < len(names)):
            raise StepError(f"Column {number} of {path!r} has no name in the header. Name it, or give --column-names.")
    if len(names) > 1 and not names[-1].strip():
        names[-1] = ""
    refuse_clashes(names, f"The header of {path!r}", "Rename one, or give --column-names.")
    return tuple(names)
