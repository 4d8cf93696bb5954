"""Which flags a spec passes, and with what: the command line of a kfp 1 container specification, flattened."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_PLACEHOLDERS = ("inputValue", "inputPath", "inputUri", "outputPath", "outputUri")
_FLAG = re.compile(r"(?P<flag>--?[A-Za-z][\w.-]*)(?:=(?P<value>.*))?$", re.DOTALL)


@dataclass(frozen=True)
class Passed:
    """A flag that a spec passes.

    Attributes:
        flag: as written; '' for an argument without one.
        placeholder: inputValue, outputPath and the like; '' for a constant or a flag that stands alone.
        value: name of the input or output, the constant, or None for a flag that stands alone.
        guards: inputs that must be given for the flag to be passed (`if: {cond: {isPresent: ...}}`).
    """

    flag: str
    placeholder: str = ""
    value: str | None = None
    guards: frozenset[str] = frozenset()


def passed(container: Mapping[str, Any]) -> list[Passed]:
    """Returns what a container specification passes to the program, in order; `command` is taken for its start."""
    found: list[Passed] = []
    waiting: tuple[str, frozenset[str]] | None = None
    for item, guards in _flat(container.get("args") or [], frozenset()):
        match = _FLAG.match(item) if isinstance(item, str) else None
        if match:
            if waiting:
                found.append(Passed(waiting[0], guards=waiting[1]))
            waiting = None
            if match["value"] is None:
                waiting = (match["flag"], guards)
            else:
                found.append(Passed(match["flag"], "", match["value"], guards))
            continue
        flag, outer = waiting or ("", frozenset())
        waiting = None
        placeholder = next((key for key in _PLACEHOLDERS if isinstance(item, dict) and key in item), "")
        value = item[placeholder] if placeholder else str(item)
        found.append(Passed(flag, placeholder, value, guards | outer))
    if waiting:
        found.append(Passed(waiting[0], guards=waiting[1]))
    return found


def _flat(items: Any, guards: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    for item in items if isinstance(items, list) else [items]:
        if not isinstance(item, dict) or "if" not in item:
            yield item, guards
            continue
        condition = item["if"].get("cond")
        present = condition.get("isPresent") if isinstance(condition, dict) else None
        yield from _flat(item["if"].get("then") or [], guards | ({present} if present else set()))
        yield from _flat(item["if"].get("else") or [], guards)
