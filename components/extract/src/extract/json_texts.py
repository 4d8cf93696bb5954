"""JSON in which numbers that become text are the texts that stand there: to DuckDB `1e2` is 100.0 and `1.50` is 1.5."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from stepkit.errors import StepError

ELEMENTS = "*"  # stands in a path for an array's elements
_SPACE = re.compile(r"[ \t\r\n]*")
# Whatever a number is, it isn't needed: where it ends is.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)

Leaf = tuple[str, ...]


def rewrite(path: str, lines: Iterable[tuple[int, bytes]], leaves: Collection[Leaf], written: Path) -> None:
    """Writes JSON Lines anew, with whatever isn't text at `leaves` as the text that stands there.

    Args:
        path: of the file, for messages.
        lines: its lines, with their numbers.
        leaves: the ways to what becomes text.

    Raises:
        StepError: a line isn't JSON.
    """
    with written.open("w", encoding="utf-8", newline="") as stream:
        for number, line in lines:
            text = line.decode("utf-8").strip()
            try:
                stream.writelines((*_Line(text, leaves).pieces(), "\n"))
            except (ValueError, IndexError, RecursionError) as error:
                raise StepError(
                    f"{path!r}, line {number}: not JSON ({error}). Correct it: each line is one JSON object."
                ) from error


class _Line:
    """A line, and how far it was taken over."""

    def __init__(self, text: str, leaves: Collection[Leaf]) -> None:
        self._text = text
        self._leaves = leaves
        self._ways = {leaf[:length] for leaf in leaves for length in range(len(leaf) + 1)}
        self._copied = 0

    def pieces(self) -> Iterator[str]:
        yield from self._walk(self._skip(0), ())
        yield self._text[self._copied :]

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _end(self, at: int) -> int:
        return int(_DECODER.raw_decode(self._text, at)[1])

    def _walk(self, at: int, way: Leaf) -> Iterator[str]:
        """Yields what is before and of the value at `at`; the caller finds its end by itself."""
        if way in self._leaves:
            if self._text[at] != '"' and not self._text.startswith("null", at):
                end = self._end(at)
                yield self._text[self._copied : at]
                yield json.dumps(self._text[at:end], ensure_ascii=False)
                self._copied = end
        elif way in self._ways and self._text[at] in "{[":
            yield from self._members(at, way)

    def _members(self, at: int, way: Leaf) -> Iterator[str]:
        """Yields as `_walk` does for each value of an object or array."""
        is_object = self._text[at] == "{"
        at = self._skip(at + 1)
        while self._text[at] not in "}]":
            name = ELEMENTS
            if is_object:
                name, at = _DECODER.raw_decode(self._text, at)
                at = self._skip(self._skip(at) + 1)
            yield from self._walk(at, (*way, name))
            at = self._skip(self._end(at))
            at = self._skip(at + 1) if self._text[at] == "," else at
