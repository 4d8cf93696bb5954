"""Schedules as robfig/cron v1, which Kubeflow Pipelines uses, reads them: seconds first, the day of the week last.

Source: https://github.com/robfig/cron/blob/v1.2.0/parser.go and spec.go, and the expressions that were recorded. No
time zones, no `L`, `W` or `#`, no 7 for Sunday. The day of the week may be left out: five fields are no crontab.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from .refusals import invalid

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_EVERY = "@every "
# Go's time.ParseDuration.
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"\+?\d+")
_YEARS = 5
_REFUSED = "Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron)"


@dataclass(frozen=True)
class _Bounds:
    least: int
    most: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.least
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"Failed to parse int from {text}")
        return int(text)


_FIELDS = (
    _Bounds(0, 59),
    _Bounds(0, 59),
    _Bounds(0, 23),
    _Bounds(1, 31),
    _Bounds(1, 12, tuple(_MONTHS)),
    _Bounds(0, 6, tuple(_DAYS)),
)


@dataclass(frozen=True)
class _Field:
    """The values of a field, and whether it says `*` or `?`."""

    values: frozenset[int]
    star: bool


def check(expression: str) -> None:
    """Refuses what isn't a schedule."""
    try:
        _parse(expression)
    except ValueError as error:
        raise invalid(f"{_REFUSED}. Error: {error}") from error


def next_time(expression: str, after: datetime) -> datetime | None:
    """Returns when a schedule is due next; None: never, or not in the next five years."""
    check(expression)
    parsed = _parse(expression)
    if isinstance(parsed, timedelta):
        return after.replace(microsecond=0) + max(parsed, timedelta(seconds=1))
    second, minute, hour, _, month, _ = parsed
    time = after.replace(microsecond=0) + timedelta(seconds=1)
    last = after.year + _YEARS
    while time.year <= last:
        if time.month not in month.values or not _day(parsed, time):
            time = time.replace(hour=0, minute=0, second=0) + timedelta(days=1)
        elif time.hour not in hour.values:
            time = time.replace(minute=0, second=0) + timedelta(hours=1)
        elif time.minute not in minute.values:
            time = time.replace(second=0) + timedelta(minutes=1)
        elif time.second not in second.values:
            time += timedelta(seconds=1)
        else:
            return time
    return None


def _day(fields: tuple[_Field, ...], time: datetime) -> bool:
    """Either day is enough, unless one of the fields is a star."""
    of_month = time.day in fields[3].values
    of_week = time.isoweekday() % 7 in fields[5].values
    return of_month and of_week if fields[3].star or fields[5].star else of_month or of_week


def _parse(expression: str) -> tuple[_Field, ...] | timedelta:
    if not expression:
        raise ValueError("Empty spec string")
    if expression.startswith(_EVERY):
        return _duration(expression.removeprefix(_EVERY))
    if expression.startswith("@"):
        if expression not in _DESCRIPTORS:
            raise ValueError(f"Unrecognized descriptor: {expression}")
        expression = _DESCRIPTORS[expression]
    fields = expression.split()
    if len(fields) == len(_FIELDS) - 1:
        fields.append("*")
    if len(fields) != len(_FIELDS):
        raise ValueError(f"Expected 5 to 6 fields, found {len(fields)}: {expression}")
    return tuple(_field(text, bounds) for text, bounds in zip(fields, _FIELDS, strict=True))


def _duration(text: str) -> timedelta:
    if not _DURATION.fullmatch(text):
        raise ValueError(f"Failed to parse duration @every {text}")
    parts = re.findall(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return timedelta(seconds=int(seconds) * (-1 if text.startswith("-") else 1))


def _field(text: str, bounds: _Bounds) -> _Field:
    ranges = [_range(each, bounds) for each in text.split(",") if each]
    values = frozenset(value for each in ranges for value in each.values)
    return _Field(values, any(each.star for each in ranges))


def _range(text: str, bounds: _Bounds) -> _Field:
    ends, *steps = text.split("/")
    low, *high = ends.split("-")
    star = low in ("*", "?")
    if star:
        start, end = bounds.least, bounds.most
    else:
        if len(high) > 1:
            raise ValueError(f"Too many hyphens: {text}")
        start = bounds.number(low)
        end = bounds.number(high[0]) if high else start
    step = 1
    if len(steps) > 1:
        raise ValueError(f"Too many slashes: {text}")
    if steps:
        step = _Bounds(0, 0).number(steps[0])
        if not high and not star:
            end = bounds.most
    if start < bounds.least or end > bounds.most or start > end or step == 0:
        raise ValueError(f"{text} isn't within {bounds.least} and {bounds.most}, or ends before it begins")
    return _Field(frozenset(range(start, end + 1, step)), star)
