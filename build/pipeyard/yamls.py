"""YAML without Python objects, read by libyaml where PyYAML was built with it: ten times as fast as its own reader."""

from typing import IO, Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str | bytes | IO[Any]) -> Any:
    """Returns the only document's content; None if there is none.

    Raises:
        yaml.YAMLError: it isn't YAML, has several documents, or tags that stand for objects.
    """
    return yaml.load(text, Loader=_LOADER)


def load_all(text: str | bytes | IO[Any]) -> list[Any]:
    """Returns the content of each document.

    Raises:
        yaml.YAMLError: it isn't YAML, or has tags that stand for objects.
    """
    return list(yaml.load_all(text, Loader=_LOADER))
