"""`${secret:NAME}` in parameters of runs: a secret is named where values are recorded, and read where a step starts.

NAME is an environment variable of the process that starts steps on this machine. Servers can't resolve it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.settings import nested
from pipeyard.settings.yaml_lines import Key

_REFERENCE = re.compile(r"\$\{secret:([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PREFIX = "secret:"
# What is shorter stands in texts by chance: it can't be told from them in what a step prints.
SHORTEST = 4


def names(value: Any) -> list[str]:
    """Returns the names of the secrets that a value refers to, at any depth, each once."""
    return list(dict.fromkeys(name for _, name in used(value)))


def used(value: Any, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Yields the key and name of every reference in a value, at any depth."""
    for place, text in nested.texts(value, key):
        yield from ((place, name) for name in _REFERENCE.findall(text))


def without(text: str) -> str:
    """Returns a text without its references: what of it is written."""
    return _REFERENCE.sub("", text)


def problems(
    parameters: Mapping[str, Any], where: Callable[[str], str], env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yields what is wrong with the references of a run's parameters, with the fix.

    Args:
        where: names a parameter as its user knows it.
        env: where secrets are, by name; None: whether they are there isn't looked at.
    """
    for parameter, value in parameters.items():
        for name in names(value):
            if not _NAME.fullmatch(name):
                yield (
                    f"{where(parameter)}: ${{secret:{name}}} names no environment variable. Write letters, digits and "
                    "'_', as in ${secret:PG_PASSWORD}."
                )
            elif env is None:
                continue
            elif name not in env:
                yield (
                    f"{where(parameter)}: the secret {name} isn't there. Set the environment variable {name} where the "
                    "run is started."
                )
            elif len(env[name]) < SHORTEST:
                yield (
                    f"{where(parameter)}: the environment variable {name} has fewer than {SHORTEST} characters, which "
                    "can't be kept out of logs. Set a longer secret."
                )


def resolve(value: Any, env: Mapping[str, str]) -> Any:
    """Returns a value with secrets in place of references, at any depth.

    Raises:
        PipeyardError: a secret isn't there.
    """
    wrong = next(problems({"": value}, lambda _: "it can't start", env), None)
    if wrong:
        raise PipeyardError(wrong)
    return nested.mapped(value, lambda text: _REFERENCE.sub(lambda match: env[match[1]], text))
