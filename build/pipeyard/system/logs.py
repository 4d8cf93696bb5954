"""The end of a log, bounded whatever a program printed: for records, terminals, reports and the CI emulator alike."""

import os
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path

TAIL_BYTES = 64 << 10
LINE_CHARACTERS = 1000
# Sequences that colour text, move the cursor or set a window's title; then whatever else a terminal obeys, or breaks
# or turns a line: control characters but the tab, Unicode's line separators and its controls of direction.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]")
# The same, but that a title which doesn't end takes nothing of what follows.
_ENDED_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]")
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def tail(log: Path, lines: int, hide: Callable[[str], str] = str) -> str:
    """Returns the last lines of a log that aren't empty, or the empty string if there are none, or no log.

    It looks at the last `TAIL_BYTES` of the log, returns at most `LINE_CHARACTERS` of a line and an ellipsis, and no
    control characters. Of a line that was rewritten with carriage returns, as progress bars do, the last state counts;
    where that leaves nothing at all, the last one that says something.

    Args:
        lines: at most so many.
        hide: blots secrets out; sees the text before it is cut, so that no part of one is left.
    """
    try:
        return read_tail(log, lines, hide)
    except FileNotFoundError:
        return ""


def read_tail(log: Path, lines: int, hide: Callable[[str], str] = str) -> str:
    """As `tail`.

    Raises:
        OSError: the log can't be read; FileNotFoundError if there is none.
    """
    with log.open("rb") as stream:
        start = max(stream.seek(0, os.SEEK_END) - TAIL_BYTES, 0)
        stream.seek(start)
        text = hide(stream.read(TAIL_BYTES).decode("utf-8", errors="replace"))
    first, *others = text.split("\n")
    shown: deque[str] = deque()
    for clean in (_clean, _last_said):
        cleaned = [clean(line) for line in others]
        if not start:
            cleaned = [clean(first), *cleaned]
        elif len(first) > TAIL_BYTES // 2:  # a line so long that only its end is read; a shorter rest is none to show
            cleaned = [clean(first)[-LINE_CHARACTERS:], *cleaned]
        shown = shown or deque((line for line in cleaned if line.strip()), maxlen=lines)
    return "\n".join(line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}{_ELLIPSIS}" for line in shown)


def _clean(line: str) -> str:
    return _CONTROLS.sub("", _ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2]))


def _last_said(line: str) -> str:
    """Returns the last state of a line that says something: a message that was erased is better than none."""
    states = (_CONTROLS.sub("", _ENDED_ESCAPES.sub("", state)) for state in reversed(line.split("\r")))
    return next((state for state in states if state.strip()), "")
