"""`defaults` under an environment: which of both a value is taken from."""

from dataclasses import dataclass, field
from typing import Any

from pipeyard.settings.problems import FILE
from pipeyard.settings.yaml_lines import Key, SettingsDocument


@dataclass
class Merged:
    """An environment with the defaults merged in.

    Attributes:
        data: what is in force.
        origins: key in it to key in the file, for what was taken as a whole.
    """

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Key] = field(default_factory=dict)

    def origin(self, key: Key) -> Key:
        """Returns the key in the file of a key in the environment, or of what it would stand in."""
        rest: Key = ()
        while key not in self.origins:
            key, rest = key[:-1], (key[-1], *rest)
        return self.origins[key] + rest


@dataclass(frozen=True)
class Origin:
    """A place in the file.

    Attributes:
        key: in the whole file.
        line: from 1.
    """

    key: Key
    line: int

    def __str__(self) -> str:
        return f"{FILE}:{self.line}"


@dataclass(frozen=True)
class Origins:
    """Where the keys of an environment stand in the file."""

    document: SettingsDocument
    merged: Merged

    def exact(self, key: Key) -> Origin | None:
        """Returns where a key of the environment stands; none: nowhere."""
        found = self.merged.origin(key)
        return Origin(found, self.document.lines[found]) if found in self.document.lines else None

    def nearest(self, key: Key) -> Origin:
        """Returns where a key stands, or what it would stand in."""
        found = self.merged.origin(key)
        return Origin(found, self.document.line(found))


def merge(defaults: tuple[Key, Any], environment: tuple[Key, Any]) -> Merged:
    """Merges by key: the fields, parameters, retries, pipelines, and a pipeline's fields and those of them.

    All else, such as the value of a parameter or a list of triggers, is taken whole from the environment if it has it.

    Args:
        defaults: their key in the file, and what stands there.
        environment: the same.
    """
    merged = Merged()
    merged.data = _merge(defaults, environment, (), merged.origins)
    return merged


def _merge(below: tuple[Key, Any], above: tuple[Key, Any], key: Key, origins: dict[Key, Key]) -> Any:
    origins[key] = above[0]
    if not (isinstance(below[1], dict) and isinstance(above[1], dict) and _by_key(key)):
        return above[1]
    merged = {}
    for name in [*below[1], *(name for name in above[1] if name not in below[1])]:
        inner = (*key, name)
        if name not in above[1]:
            origins[inner] = (*below[0], name)
            merged[name] = below[1][name]
        elif name not in below[1]:
            origins[inner] = (*above[0], name)
            merged[name] = above[1][name]
        else:
            pair = ((*below[0], name), below[1][name]), ((*above[0], name), above[1][name])
            merged[name] = _merge(*pair, inner, origins)
    return merged


def _by_key(key: Key) -> bool:
    match key:
        case () | ("parameters" | "retries" | "pipelines",) | ("pipelines", _):
            return True
        case ("pipelines", _, "parameters" | "retries" | "schedule"):
            return True
        case _:
            return False
