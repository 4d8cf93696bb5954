"""How values are written for people."""

import json
from datetime import UTC, datetime
from typing import Any

DASH = "\N{EN DASH}"


def duration(seconds: float) -> str:
    """Returns e.g. `0.42 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: int) -> str:
    """Returns e.g. `0 B`, `4.2 kB`, `1.3 GB`; decimal units."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.3g} {unit}"
    return f"{value / 1000:,.3g} TB"


def when(moment: datetime | None) -> str:
    """Returns the moment in UTC, to the second."""
    if moment is None:
        return DASH
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{aware.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(value: float) -> str:
    """Returns integers with separators, and other numbers to four significant digits."""
    if isinstance(value, int) or (abs(value) >= 1000 and value.is_integer()):
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.4g}"


def scalar(value: Any) -> str:
    """Returns one value as text: yes or no, a number, a dash for nothing, compact JSON for collections."""
    if value is None or value == "":
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def literal(value: Any) -> str:
    """Returns a parameter as it was given: text bare, everything else as JSON (indented if that helps)."""
    if isinstance(value, str):
        return value
    compact = json.dumps(value, ensure_ascii=False, default=str)
    flat = isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value)
    return compact if flat or len(compact) <= 100 else json.dumps(value, ensure_ascii=False, default=str, indent=2)


def digest(text: str) -> str:
    """Returns a digest's first 12 characters, without the name of its algorithm."""
    return text.rpartition(":")[2][:12]


def counted(count: int, one: str, many: str = "") -> str:
    """Returns e.g. `1 anomaly`, `1,200 rows`; `many` is `one` with an s if not given."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
