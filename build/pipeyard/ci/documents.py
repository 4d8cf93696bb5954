"""YAML files of CI servers, with the lines on which things stand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeyard.errors import PipeyardError
from pipeyard.system import yamls

_KEYS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}
_MISREAD = "to YAML 1.1, which gcloud reads, {written} is {read}, and to others it isn't"
_NO_KEY = "a key is a mapping or a list"


@dataclass(frozen=True)
class CiDocument:
    """A file's content.

    Attributes:
        lines: way to a value (keys and indices) to the line, from 1, on which it stands.
    """

    path: Path
    content: dict[str, Any]
    lines: Mapping[tuple[str | int, ...], int]

    def line_of(self, *way: str | int) -> int:
        """Returns the line of a value, or of what is nearest around it."""
        while way and way not in self.lines:
            way = way[:-1]
        return self.lines.get(way, 1)

    @property
    def as_json(self) -> str:
        """The content as JSON.

        Raises:
            PipeyardError: it has a value that JSON hasn't, such as a date.
        """
        try:
            return json.dumps(self.content)
        except TypeError as error:
            raise PipeyardError(
                f"{self.path} has a value that JSON doesn't have: {error}. Write it in quotes."
            ) from error


def load(path: Path) -> CiDocument:
    """Reads a YAML file.

    Raises:
        PipeyardError: it is missing, isn't YAML, is past a bound (`yamls`), is no mapping, or has a key that stands
            twice or isn't text, or a value that YAML's versions read unlike (`no`, `012`); with file and line.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as error:
        raise PipeyardError(f"{path} is missing. `pipeyard ci` writes what it generates.") from error
    except UnicodeDecodeError as error:
        raise PipeyardError(f"{path} isn't UTF-8: {error}. Save it as such.") from error


def parse(text: str, path: Path) -> CiDocument:
    """Reads YAML. See `load`."""
    lines: dict[tuple[str | int, ...], int] = {}
    try:
        node = yamls.compose(text)
        _note_lines(node, (), lines, path)  # first, as it says what is wrong with a key, and where
        content = yamls.load(text)
    except yaml.YAMLError as error:
        raise PipeyardError(f"{path} isn't valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise PipeyardError(f"{path} is no mapping. Write it as Cloud Build's documentation of its schema says.")
    return CiDocument(path, content, lines)


def _note_lines(
    node: yaml.Node | None, way: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], path: Path
) -> None:
    if node is None:
        return
    lines.setdefault(way, node.start_mark.line + 1)
    if read := yamls.misread(node):
        problem = _MISREAD.format(written=node.value, read=read)
        raise PipeyardError(f"{path}:{node.start_mark.line + 1}: {problem}. Put it in quotes, or write {read}.")
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _KEYS:
                what = f"to YAML the key {key.value} isn't text" if isinstance(key, yaml.ScalarNode) else _NO_KEY
                raise PipeyardError(f"{path}:{line}: {what}. Write a name, in quotes where YAML reads it otherwise.")
            if key.value in seen:
                raise PipeyardError(
                    f"{path}:{line}: the key {key.value!r} stands twice, first on line {seen[key.value]}: YAML would "
                    "let the last one win. Remove one."
                )
            seen[key.value] = line
            lines[(*way, key.value)] = line
            _note_lines(value, (*way, key.value), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*way, index), lines, path)
