"""`images.lock.json`: which image each component of a commit runs as."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeyard.errors import PipeyardError
from pipeyard.images.references import Reference, parse

FILE = "images.lock.json"


class Image(BaseModel):
    """An image in the registry.

    Attributes:
        repository: with the registry.
        tag: the commit's.
        content_tag: of the content, which the image keeps over commits.
        source: sha256 in hex of what it is made of.
        bytes: of its layers, compressed.
    """

    model_config = ConfigDict(extra="forbid")
    repository: str
    tag: str
    content_tag: str
    source: str
    digest: str
    bytes: int

    def reference(self, by: Literal["digest", "tag"] = "digest") -> Reference:
        """Returns the image's full name."""
        image = parse(self.repository)
        return image.at(self.digest) if by == "digest" else image.tagged(self.tag)


class Lock(BaseModel):
    """The images of one commit.

    Attributes:
        commit: the commit, or the marked tag of a dirty tree.
        bases: name of an image below, to its reference by digest.
        images: component to its image.
    """

    model_config = ConfigDict(extra="forbid")
    version: Literal[1] = 1
    commit: str
    bases: dict[str, str]
    images: dict[str, Image]

    def text(self) -> str:
        """Returns the file's content: the same lock gives the same bytes."""
        return json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n"


def read(path: Path) -> Lock:
    """Reads a lock.

    Raises:
        PipeyardError: it is missing, or damaged.
    """
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise PipeyardError(f"{path} is missing: no images were built. Run `pipeyard build` first.") from error
    except ValidationError as error:
        raise PipeyardError(f"{path} is damaged: {error}. Run `pipeyard build` again.") from error
