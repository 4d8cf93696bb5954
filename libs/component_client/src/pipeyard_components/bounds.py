"""How large a document may be that is read: what is past it was made to harm, or is no document of this kind.

YAML and JSON are read by `yamls` and `jsons` alone, which keep to these bounds before anything is built of the text.
"""

from __future__ import annotations

from typing import Any

import yaml

# A compiled pipeline may have KFP's 32 MiB; a run of 10,000 tasks has a record of less than this.
MOST_BYTES = 64 * 1024 * 1024
MOST_NODES = 2_000_000
# Values that aliases repeat: what walks through a document walks through each of them again.
MOST_REPEATED = 100_000
# Whatever walks through a document does so by recursion; kfp's compiled pipelines are 20 deep.
MOST_DEPTH = 100


class TooMuch(yaml.MarkedYAMLError, ValueError):
    """A document is past a bound. Whoever expects text that isn't YAML, or isn't JSON, catches this, too."""

    def __init__(self, problem: str, mark: Any = None) -> None:  # of either of PyYAML's parsers
        super().__init__(None, None, problem, mark)


def check_size(content: str | bytes, most: int = MOST_BYTES) -> None:
    """Checks a document's length, in bytes (of text: characters).

    Raises:
        TooMuch: it is longer than `most`.
    """
    if len(content) > most:
        raise TooMuch(f"it has {len(content):,} bytes, and {most:,} are the most that is read")
