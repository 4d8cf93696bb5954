"""`${VAR}` in values, where `variables` of the file declares it. `$${VAR}` stands for `${VAR}` itself.

`${secret:NAME}` is none: it stays as it is written, see `secret_references`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeyard.settings import secret_references
from pipeyard.settings.yaml_lines import Key

PROJECT_ROOT = "PROJECT_ROOT"
NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_VARIABLE = re.compile(r"\$?\$\{([^}]*)\}")


def used(value: Any, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Yields the key and name of every variable in a value, at any depth."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from used(item, (*key, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from used(item, (*key, index))
    elif isinstance(value, str):
        for match in _VARIABLE.finditer(value):
            if not match.group().startswith("$$") and not match.group(1).startswith(secret_references.PREFIX):
                yield key, match.group(1)


def expand(value: Any, variables: Mapping[str, str]) -> Any:
    """Returns a value with the variables that there are put in; those that there aren't stay as they are written."""
    if isinstance(value, dict):
        return {name: expand(item, variables) for name, item in value.items()}
    if isinstance(value, list):
        return [expand(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(
        lambda match: (
            match.group()[1:] if match.group().startswith("$$") else variables.get(match.group(1), match.group())
        ),
        value,
    )
