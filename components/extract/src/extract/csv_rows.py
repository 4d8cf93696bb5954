"""Reading CSV files row by row in Python: slowly, but for certain, and any of them."""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence

from extract import packed
from extract.dialect import LONGEST, Dialect
from stepkit.errors import StepError

# After an even number of backslashes, one before a letter or digit: MySQL's \N is a null, other writers' is an N.
_MEANT = re.compile(r"(?<!\\)(?:\\\\)*\\[A-Za-z0-9]")


class Lines:
    """Iterates over the lines of a CSV file, whatever ends them, without the comments.

    Attributes:
        number: of the line that was read last, from 1; `\\r\\r\\n` ends one line.
        starts: True if the next line starts a row, so that it may be a comment.
        text: the line that was read last.
        endings: what ends lines.
    """

    def __init__(self, path: str, dialect: Dialect) -> None:
        self.number = 0
        self.starts = True
        self.text = ""
        self.endings: set[str] = set()
        self._path = path
        self._dialect = dialect

    def __iter__(self) -> Iterator[str]:
        ended = True
        for piece in self._pieces():
            blank = piece in ("\n", "\r\n", "\r")
            self.number += not (blank and not ended)
            ended = not piece.endswith("\r")
            self.endings.add(piece[len(piece.rstrip("\r\n")) :])
            self.text = piece
            if self.starts and self._dialect.comment and piece.startswith(self._dialect.comment):
                continue
            yield piece
        self.endings.discard("")

    def _pieces(self) -> Iterator[str]:
        with packed.unpacked(self._path) as stored:
            if self._dialect.encoding != "utf-8":
                text = io.TextIOWrapper(stored, encoding=self._dialect.encoding, newline="")
                yield from text
                return
            for number, line in enumerate(stored):
                decoded = line.decode("utf-8-sig" if not number else "utf-8")
                # A line may have others in it that end with a carriage return.
                yield from io.StringIO(decoded, newline="") if "\r" in decoded[:-2] else [decoded]


def read(path: str, dialect: Dialect, columns: int) -> Iterator[list[str]]:
    """Returns the rows below the header.

    Blank lines are none. An empty value too many at a row's end is left out: a delimiter ends the row.

    Args:
        columns: how many values a row must have.

    Raises:
        StepError: a row has another number of values, a quote isn't closed, or the text isn't in the encoding.
    """
    return _rows(path, Lines(path, dialect), dialect, columns)


def _rows(path: str, lines: Lines, dialect: Dialect, columns: int) -> Iterator[list[str]]:
    start, is_header = 1, dialect.header
    try:
        for row in dialect.reader(_watched(lines, dialect)):
            if row and not is_header:
                if len(row) == columns + 1 and not row[-1]:
                    row.pop()
                if len(row) != columns:
                    raise _ragged(path, start, row, columns, dialect)
                yield row
            is_header = is_header and not row
            start, lines.starts = lines.number + 1, True
    except csv.Error as error:
        raise _unclosed(path, start, lines.text, error, dialect) from error
    except UnicodeError as error:
        where = f", line {lines.number + 1}" if dialect.encoding == "utf-8" else ""
        first = getattr(error, "start", None)
        at = f" at byte {first} of the line" if where and first is not None else ""
        reason = getattr(error, "reason", error)
        raise StepError(
            f"{path!r}{where}: the bytes aren't {dialect.encoding.upper()} text ({reason}{at}). Say which encoding it "
            "is by --encoding, e.g. cp1252 or latin-1."
        ) from error


def _watched(lines: Lines, dialect: Dialect) -> Iterator[str]:
    for line in lines:
        if dialect.escape == "\\" and (meant := _MEANT.search(line)):
            raise csv.Error(f"{meant[0]!r} may mean a null or a control character")
        lines.starts = False
        yield line


def line_of(path: str, dialect: Dialect, columns: int, row: int) -> int:
    """Returns the line on which a row ends; rows are counted from 1 below the header."""
    lines = Lines(path, dialect)
    next(itertools.islice(_rows(path, lines, dialect, columns), row - 1, None), None)
    return lines.number


def find_problem(path: str, dialect: Dialect, columns: int) -> tuple[StepError | None, bool]:
    """Reads a CSV file and returns the first thing wrong with it, if there is one, and whether all lines end alike.

    DuckDB's threads may start within a quoted text that has newlines and then complain of good files, while its serial
    reader drops the end of a file whose last quote is never closed.
    """
    lines = Lines(path, dialect)
    try:
        for _ in _rows(path, lines, dialect, columns):
            pass
    except StepError as error:
        return error, False
    return None, len(lines.endings) < 2


def _ragged(path: str, line: int, row: Sequence[str], columns: int, dialect: Dialect) -> StepError:
    shown = dialect.delimiter.join(row)[:200]
    than = "the header" if dialect.header and not dialect.names else "--column-names" if dialect.names else "the first"
    hint = ""
    if row[0].startswith("#"):
        hint = " If lines that start with '#' are comments, say --comment '#'."
    elif "\\" in shown and not dialect.escape:
        hint = " If a backslash takes the next character as it is, say --escape '\\'."
    elif len(row) == columns + 1 and dialect.header and not dialect.names:
        hint = " If the header lacks the name of the first column, as R writes it, give --column-names."
    elif len(row) == 1:
        hint = f" If {dialect.delimiter!r} isn't what is between values, say --delimiter."
    elif not dialect.quote:
        hint = " If values may be quoted, say --quote '\"'."
    return StepError(
        f"{path!r}, line {line}: the row has {len(row)} values, {than} {columns}: {shown!r}. "
        f"Correct the row; quote a value that has the delimiter in it.{hint}"
    )


def _unclosed(path: str, line: int, text: str, error: csv.Error, dialect: Dialect) -> StepError:
    if "may mean" in str(error):
        return StepError(f"{path!r}, line {line}: {error}, which --escape doesn't read. Write such values otherwise.")
    if "field larger" in str(error):
        return StepError(
            f"{path!r}, line {line}: a value has more than {LONGEST:,} characters. A quote that isn't closed may be "
            "why: close it."
        )
    if '\\"' in text and not dialect.escape:
        remedy = "If a backslash stands before a quote in a value, say --escape '\\'."
    else:
        remedy = "If quotes are characters as others are, say --quote '' (none) or the character that quotes."
    return StepError(
        f"{path!r}, line {line}: a quote isn't closed as it should be ({error}). "
        f"Close it, and double a quote within a quoted value. {remedy}"
    )
