"""What is wrong in the file: each with line, key, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeyard.errors import PipeyardError

FILE = "settings.yaml"


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake.

    Attributes:
        line: from 1; 0: it is in no line.
        key: where in the file.
        text: what is wrong. Never the value, which may be a secret.
        fix: what to do, as sentences.
    """

    line: int
    key: tuple[str | int, ...]
    text: str
    fix: str

    def __str__(self) -> str:
        key = dotted(self.key)
        return f"{FILE}:{self.line}: {key + ': ' if key else ''}{self.text.rstrip('.')}. {self.fix}".rstrip()


class Unfit(ValueError):
    """What a validator of the model raises.

    Args:
        text: what is wrong, without the value.
        fix: what to do, as sentences.
    """

    def __init__(self, text: str, fix: str) -> None:
        super().__init__(f"{text}. {fix}")
        self.text = text
        self.fix = fix


def dotted(key: Iterable[str | int]) -> str:
    """Returns a key as one writes it.

    >>> dotted(("pipelines", "taxi", "triggers", 0, "bucket"))
    'pipelines.taxi.triggers[0].bucket'
    """
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def raise_all(problems: Iterable[Problem]) -> None:
    """Raises all problems as one error, in the order of their lines, each once.

    Raises:
        PipeyardError: there are any.
    """
    found = sorted(set(problems), key=lambda each: (each.line, dotted(each.key), each.text))
    if found:
        raise PipeyardError("\n".join(map(str, found)))
