"""`${VAR}` in values, where `variables` of the file declares it. `$${VAR}` stands for `${VAR}` itself.

`${secret:NAME}` is none: it stays as it is written, see `secret_references`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeyard.settings import nested, secret_references
from pipeyard.settings.yaml_lines import Key

PROJECT_ROOT = "PROJECT_ROOT"
NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_VARIABLE = re.compile(r"\$?\$\{([^}]*)\}")


def used(value: Any, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Yields the key and name of every variable in a value, at any depth."""
    for place, text in nested.texts(value, key):
        for match in _VARIABLE.finditer(text):
            if not match.group().startswith("$$") and not match.group(1).startswith(secret_references.PREFIX):
                yield place, match.group(1)


def expand(value: Any, variables: Mapping[str, str]) -> Any:
    """Returns a value with the variables that there are put in; those that there aren't stay as they are written."""

    def in_text(match: re.Match[str]) -> str:
        whole = match.group()
        return whole[1:] if whole.startswith("$$") else variables.get(match.group(1), whole)

    return nested.mapped(value, lambda text: _VARIABLE.sub(in_text, text))
