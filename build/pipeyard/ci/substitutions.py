"""Cloud Build's substitutions: `$NAME` and `${NAME}` in a build's fields, `$$` for a dollar sign."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeyard.errors import PipeyardError, near_misses

# Set by Cloud Build for every build; the others only where a trigger started it, else they are empty.
ALWAYS = ("PROJECT_ID", "PROJECT_NUMBER", "BUILD_ID", "LOCATION")
BY_TRIGGER = (
    "TRIGGER_NAME",
    "COMMIT_SHA",
    "REVISION_ID",
    "SHORT_SHA",
    "REPO_NAME",
    "REPO_FULL_NAME",
    "BRANCH_NAME",
    "TAG_NAME",
    "REF_NAME",
    "TRIGGER_BUILD_CONFIG_PATH",
    "SERVICE_ACCOUNT",
    "SERVICE_ACCOUNT_EMAIL",
)
BUILT_IN = (*ALWAYS, *BY_TRIGGER)
KEY = re.compile(r"_[A-Z0-9_]+")
MOST, LONGEST_KEY, LONGEST_VALUE = 200, 100, 4000
_USE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[^}]*)\})")
_NAME = re.compile(r"[A-Za-z_]\w*")
# Fields in which Cloud Build puts no values.
_AS_IT_IS = {"script", "substitutions"}


def used(text: str) -> set[str]:
    """Returns the names that a text has values put in for; those of what `refused` returns, too."""
    return {match[0] for name in _inside(text) if (match := _NAME.match(name))}


def refused(text: str) -> list[str]:
    """Returns the uses that Cloud Build refuses, such as `${_TAG:-latest}`: what `expand` raises an error for."""
    return [f"${{{name}}}" for name in _inside(text) if not _NAME.fullmatch(name)]


def _inside(text: str) -> Iterator[str]:
    for match in _USE.finditer(text):
        if not match["dollar"]:
            yield match["plain"] or match["braced"]


def expand(text: str, values: Mapping[str, str], loose: bool = False) -> str:
    """Returns a text with values put in.

    Args:
        loose: an own name (`_NAME`) without value is empty, as in builds that triggers start; else it is an error.

    Raises:
        PipeyardError: a name has no value, or is used in a way that only Bash knows.
    """

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        name = match["plain"] or match["braced"]
        if not _NAME.fullmatch(name):
            raise PipeyardError(
                f"{match[0]} is no name, or one of Bash's operations, which aren't done here. Hand the value to a "
                "script by `env`, and do it there; write $$ where a dollar sign is meant."
            )
        if name in values:
            return values[name]
        if name in BY_TRIGGER or (loose and KEY.fullmatch(name)):
            return ""
        raise PipeyardError(
            f"{match[0]} has no value: it isn't declared. {near_misses(name, [*values, *BUILT_IN])} "
            "Write $$ where a dollar sign is meant."
        )

    return _USE.sub(value, text)


def expand_all(value: Any, values: Mapping[str, str], loose: bool = False) -> Any:
    """Returns a build's content with values put in wherever Cloud Build does so: not into scripts."""
    if isinstance(value, str):
        return expand(value, values, loose)
    if isinstance(value, list):
        return [expand_all(each, values, loose) for each in value]
    if isinstance(value, dict):
        return {key: each if key in _AS_IT_IS else expand_all(each, values, loose) for key, each in value.items()}
    return value


def resolve(values: Mapping[str, str], loose: bool = False) -> dict[str, str]:
    """Returns values that may be made of each other (`dynamicSubstitutions`), put in.

    Raises:
        PipeyardError: they are made of each other in a circle, or see `expand`.
    """
    found = dict(values)
    for _ in range(len(found) + 1):
        following = {key: expand(each, found, loose) if "$" in each else each for key, each in found.items()}
        if following == found:
            return found
        found = following
    raise PipeyardError("Substitutions are made of each other in a circle. Give one of them a value of its own.")


def texts(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yields the texts of a build's content that get values put in, with the way to each."""
    if isinstance(value, str):
        yield way, value
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from texts(each, (*way, index))
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in _AS_IT_IS:
                yield from texts(each, (*way, key))
