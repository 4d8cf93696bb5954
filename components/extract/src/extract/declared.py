"""Types that `--column-types` declares: they hold every value of their column, or are refused with one that they don't.

One change alone is a user's choice: a decimal fraction as DOUBLE or FLOAT is the nearest one. Whatever else would
change is refused: a fraction as a whole number, a DECIMAL's last digits, a DATE's time of day, a fraction of a second
that a time is too coarse for, a zone other than UTC where a type has none, a whole number that a DOUBLE or FLOAT
doesn't have.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow.compute as pc

from extract import spool
from extract.sql import identifier, literal
from extract.streaming import stream
from extract.tables import Table
from extract.types import plain_type
from stepkit.errors import StepError, near_misses

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

_TEXTS = ("varchar", "enum", "variant", "union")  # these are read by way of text
_FLOATS = {"float": 7, "double": 15}  # and how many digits a whole number may have to be one of theirs for certain
_CLOCKS = ("time", "time_ns", "time with time zone")
_ZONED = ("timestamp with time zone", "timestamptz_ns", "time with time zone", "interval")
# How many digits the fractions of their seconds have.
_TIMES = {
    "date": 0,
    "timestamp_s": 0,
    "timestamp_ms": 3,
    **dict.fromkeys(("timestamp", "timestamp with time zone", "time", "time with time zone", "interval"), 6),
    **dict.fromkeys(("timestamp_ns", "timestamptz_ns", "time_ns"), 9),
}
# SQL has infinite times, which Arrow hasn't, and takes the year 0 for 1 BC.
_NO_TIME = r"(?i)inf|^\s*0000-"
_ZONE = r":[0-9][0-9.]*\s*[-+A-Za-z]"
_UTC = r"(?i):[0-9][0-9.]*\s*(Z|UTC|[-+]00(:?00){0,2})\s*$"
_CLOCK = r"\s*[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]*)?)?\s*([-+A-Za-z].*)?"


@dataclass(frozen=True)
class Declared:
    """A column, and the type that is declared for it.

    Attributes:
        name: of the column.
        kind: the declared type, as it is written.
        target: DuckDB's type for it.
        source: the type that the column has before.
        decimal: the decimal point of numbers as text.
    """

    name: str
    kind: str
    target: Any
    source: Any
    decimal: str = "."

    @property
    def is_checked(self) -> bool:
        """True if there are values of the column's that the declared type may not hold."""
        return self.target.id != "varchar" and self.source.id != "null" and str(self.source) != str(self.target)

    @property
    def is_whole(self) -> bool:
        """True for types of whole numbers."""
        return plain_type(self.target) == "BIGINT" and self.target.id != "decimal"

    @property
    def is_number(self) -> bool:
        """True for types of numbers."""
        return self.is_whole or self.target.id in (*_FLOATS, "decimal")

    @property
    def is_text(self) -> bool:
        """True if values are read by way of text."""
        return self.source.id in _TEXTS

    def cast(self, attempt: bool = False) -> str:
        """Returns the SQL of a value as the declared type; null for one that isn't of it, if it is an attempt."""
        return f"{'TRY_CAST' if attempt else 'CAST'}({self._value()} AS {self.kind})"

    def asked(self) -> tuple[str, str]:
        """Returns the SQL of what `kept` needs to know of a value that may change, as texts, else of nulls."""
        doubtful = f"NOT coalesce({self._keeps()}, {identifier(self.name)} IS NULL)"
        made = f"CAST({self.cast(attempt=True)} AS DOUBLE)" if self.target.id in _FLOATS else self.cast(attempt=True)
        value, becomes = (
            f"CASE WHEN {doubtful} THEN CAST({each} AS VARCHAR) END" for each in (identifier(self.name), made)
        )
        return value, becomes

    def _value(self) -> str:
        column = identifier(self.name)
        if not self.is_text:
            return column
        text = column if self.source.id == "varchar" else f"CAST({column} AS VARCHAR)"
        if self.decimal == "." or not self.is_number:
            return text
        # What has a point, too, mustn't become a number by this.
        return f"replace(replace({text}, '.', '..'), {literal(self.decimal)}, '.')"

    def _keeps(self) -> str:
        """Returns the SQL condition that a value is one of the declared type's for certain."""
        value, made = self._value(), self.cast(attempt=True)
        if self.is_text:
            return " AND ".join(f"({each})" for each in (f"{made} IS NOT NULL", *self._keeps_text(value, made)))
        back = f"TRY_CAST({made} AS {self.source})"
        kept = f"{back} = {value}"
        if self.target.id in _FLOATS and self.source.id in (*_FLOATS, "decimal"):
            kept += f" OR ({value} <> trunc({value}) AND {back} <> 0)"
        return f"({kept})"

    def _keeps_text(self, text: str, made: str) -> Iterator[str]:
        if digits := _FLOATS.get(self.target.id):
            form = rf"\s*[+-]?[0-9]{{0,{digits}}}(\.[0-9]{{0,{digits}}})?\s*"
            yield f"regexp_full_match({text}, {literal(form)})"
        elif self.is_number:
            form = r"\s*[+-]?[0-9]{1,18}(\.[0-9]{0,18})?\s*"
            yield f"regexp_full_match({text}, {literal(form)})"
            yield f"TRY_CAST({text} AS DECIMAL(38, 18)) = TRY_CAST({made} AS DECIMAL(38, 18))"
        elif self.target.id in _TIMES:
            finer = rf"\.[0-9]{{{_TIMES[self.target.id]}}}[0-9]*[1-9]"
            yield f"NOT regexp_matches({text}, {literal(_NO_TIME)}) AND NOT regexp_matches({text}, {literal(finer)})"
            if self.target.id not in _ZONED:
                yield f"NOT regexp_matches({text}, {literal(_ZONE)}) OR regexp_matches({text}, {literal(_UTC)})"
            if self.target.id == "date":
                yield f"NOT contains({text}, ':') OR TRY_CAST({text} AS TIMESTAMP) = CAST({made} AS TIMESTAMP)"
            if self.target.id in _CLOCKS:
                yield f"regexp_full_match({text}, {literal(_CLOCK)})"

    def kept(self, text: str, made: str | None) -> bool:
        """True if what a doubtful value becomes is the same value.

        Args:
            text: the value.
            made: what it becomes, None if it can't be of the type.
        """
        number = self._number(text)
        if made is None or number is None or not (self.is_text and self.is_number):
            return False
        if not number.is_finite():
            return not math.isfinite(float(made))
        if self.target.id not in _FLOATS:
            return Decimal(made) == number
        value = float(made)
        if not math.isfinite(value) or (not value and number):
            return False
        if number != number.to_integral_value() or Decimal(value) == number:
            return True
        # `1e23` is the double that is nearest; a whole number with all its digits is one that counts.
        return Decimal(repr(value)) == number and not text.strip(" +-").isdigit()

    def _number(self, text: str) -> Decimal | None:
        if self.decimal != ".":
            if "." in text:
                return None
            text = text.replace(self.decimal, ".")
        try:
            return Decimal(text.strip())
        except InvalidOperation:
            pass
        try:
            return Decimal(int(text.strip(), 0))  # 0x1F
        except ValueError:
            return None

    def refusal(self, text: str, made: str | None, path: str, place: str) -> StepError:
        """Returns the error for a value that the type doesn't hold.

        Args:
            text: the value.
            made: what it would become.
            path: the file that has it; '' for a database.
            place: where it is in there.
        """
        shown = repr(text if len(text) <= 100 else text[:100] + "…")
        if self.is_text and made is None and (self._number(text) is None or not self.is_number):
            where = f"{path!r}, {place}" if path else place.capitalize()
            return StepError(
                f"{where}: column {self.name!r} has {shown}, which is no {self.kind}. Correct it, add it to "
                f'--null-values, or say {{"{self.name}": "VARCHAR"}} in --column-types.'
            )
        problem, remedy = self._problem(text, made)
        return StepError(
            f"Column {self.name!r}{f' in {path!r}' if path else ''} has {problem}, but --column-types says "
            f"{self.kind} ({place}: {shown}). {remedy}"
        )

    def _problem(self, text: str, made: str | None) -> tuple[str, str]:
        number = self._number(text)
        if self.is_number and number is not None and number.is_finite():
            if self.is_whole and number != number.to_integral_value():
                return "fractions", "Say DOUBLE, or round it in --query."
            if self.is_whole:
                return "numbers that are too large", "Say BIGINT, or VARCHAR."
            if self.target.id == "decimal":
                return "more digits", "Say a DECIMAL with as many, DOUBLE or VARCHAR, or round it in --query."
            if made and Decimal(made) and math.isfinite(float(made)):
                return "whole numbers that would be rounded", "Say BIGINT, or VARCHAR."
            return "numbers that are too large or too small", "Say VARCHAR."
        if self.target.id in _TIMES:
            if re.search(_NO_TIME, text):
                return "what is no time", "Say VARCHAR, or make it null in --query."
            zoned = re.search(_ZONE, text) and not re.search(_UTC, text) and self.target.id not in _ZONED
            if made and zoned:
                return "zones", "Say TIMESTAMPTZ, or VARCHAR."
            if made and self.target.id == "date":
                return "times of day", "Say TIMESTAMP, or take the day in --query."
            if made and re.search(r"\.[0-9]", text):
                return "finer fractions of a second", "Say TIMESTAMP_NS, or VARCHAR."
            return "values that would change", "Say TIMESTAMP or VARCHAR, or convert it in --query."
        return f"values that are no {self.kind}", "Say VARCHAR, or convert it in --query."


def apply(connection: Any, table: Table, column_types: Mapping[str, str]) -> str:
    """Returns a table's SELECT with the declared types, having read the columns to see that these hold their values.

    Args:
        connection: DuckDB's.
        table: what the source's reader gave.
        column_types: column to SQL type.

    Raises:
        StepError: a column isn't there, or has a value that its type doesn't hold.
    """
    select, parts = table.sql, table.parts
    plans = _plans(connection, select, column_types, table.decimal)
    checked = [plan.name for plan in plans if plan.is_checked]
    if checked and table.once:
        select = spool.keep(connection, select, "declared")
    for path, part in (parts or {"": select}).items() if checked else ():
        asked = {name: column_types[name] for name in checked}
        _check(connection, table, path, part, _plans(connection, part, asked, table.decimal))
    casts = ", ".join(f"{plan.cast()} AS {identifier(plan.name)}" for plan in plans)
    return f"SELECT * REPLACE ({casts}) FROM (\n{select}\n)" if casts else select


def _plans(connection: Any, select: str, column_types: Mapping[str, str], decimal: str) -> Sequence[Declared]:
    source = connection.sql(select)
    present = dict(zip(source.columns, source.types, strict=True))
    for name in column_types:
        if name not in present:
            raise StepError(
                f"--column-types names {name!r}, which the source doesn't have. {near_misses(name, present)}"
            )
    return [
        Declared(name, kind, connection.sql(f"SELECT CAST(NULL AS {kind})").types[0], present[name], decimal)
        for name, kind in column_types.items()
    ]


def _check(connection: Any, table: Table, path: str, part: str, plans: Sequence[Declared]) -> None:
    asked = ", ".join(f"{value}, {made}" for value, made in (plan.asked() for plan in plans))
    rows = 0
    for batch in stream(connection, f"SELECT {asked} FROM (\n{part}\n)", table.places)[1]:
        for plan, value, made in zip(plans, batch.columns[::2], batch.columns[1::2], strict=True):
            for row in pc.indices_nonzero(value.is_valid()).to_pylist():
                text, becomes = value[row].as_py(), made[row].as_py()
                if not plan.kept(text, becomes):
                    place = table.place(path, rows + row + 1)
                    raise plan.refusal(text, becomes, table.places.get(path, path), place)
        rows += batch.num_rows
