"""How a component store is laid out: where specs, versions and the index are, and what a digest is of.

The layout is that of kfp 1's ComponentStore, so its users can read what is published here:

    <name>/component.yaml               the newest version
    <name>/versions/sha256/<digest>     one version, never changed
    <name>/versions/tags/<tag>          what the tag names now
    index.json                          names, descriptions and versions (ours), for places that can't be listed
    releases/                           what was published together (ours): see `publication`

A name may have groups: `<group>/<name>`. In kfp 1 the file of a tag holds the specification itself; in a Git
repository it is a symbolic link to the version, which raw file servers give as the link's text. Both are read here, and
a bare digest too; `publication` writes the specification, the one form that kfp 1 reads from buckets.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeyard_components import jsons
from pipeyard_components.errors import PipeyardError

SPEC = "component.yaml"
VERSIONS = "versions"
TAGS = f"{VERSIONS}/tags"
DIGESTS = f"{VERSIONS}/sha256"
INDEX = "index.json"
RELEASES = "releases"
# What a release has, in its folder.
RELEASE_FILE = "release.json"

_INDEX_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9_][\w .+-]*(/[A-Za-z0-9_][\w .+-]*)*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)  # OCI's grammar of tags
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
_POINTER = re.compile(rb"\s*(?:(?:\.\./)*(?:versions/)?sha256/|sha256:)?([0-9a-f]{64})\s*")


@dataclass(frozen=True)
class VersionSelector:
    """Which version of a component: a digest (64 lower-case hex digits), a tag, or neither for the newest."""

    digest: str | None = None
    tag: str | None = None

    @classmethod
    def of(cls, digest: str | None = None, tag: str | None = None) -> VersionSelector:
        """Checks what a user gave.

        Raises:
            PipeyardError: both are given, or one isn't well-formed.
        """
        for argument, value in [("digest", digest), ("tag", tag)]:
            if value is not None and not isinstance(value, str):
                raise PipeyardError(f"{argument}={value!r} isn't text. Write it in quotes: {argument}={str(value)!r}.")
        if digest is not None and tag is not None:
            raise PipeyardError(f"Both a digest and the tag {tag!r} are given; a digest says it all. Drop the tag.")
        if tag is not None and not _TAG.fullmatch(tag):
            raise PipeyardError(f"{tag!r} is no tag: those have up to 128 letters, digits, '_', '.' and '-'.")
        if digest is not None:
            found = _DIGEST.fullmatch(digest)
            if not found:
                raise PipeyardError(f"{digest!r} is no digest: those have 64 hex digits, with or without 'sha256:'.")
            digest = found[1].lower()
        return cls(digest, tag)

    @classmethod
    def parse(cls, text: str | None) -> VersionSelector:
        """Reads `sha256:<digest>`, a bare digest, or else a tag; None is the newest."""
        if text is None:
            return cls()
        if not isinstance(text, str):
            raise PipeyardError(f"The version {text!r} isn't text. Write it in quotes: {str(text)!r}.")
        if text.startswith("sha256:") or _DIGEST.fullmatch(text):
            return cls.of(digest=text)
        return cls.of(tag=text)

    def path(self, name: str) -> str:
        """Returns the path of this version's file in a store."""
        if self.digest:
            return digest_path(name, self.digest)
        return tag_path(name, self.tag) if self.tag else spec_path(name)

    def __str__(self) -> str:
        if self.digest:
            return f"sha256:{self.digest}"
        return f"tag {self.tag!r}" if self.tag else "newest"


@dataclass(frozen=True)
class IndexEntry:
    """What a store's index tells of a component: its description, and the versions there are."""

    description: str = ""
    digests: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def check_name(name: str) -> str:
    """Returns `name`.

    Raises:
        PipeyardError: it can't be a component's name, or would lead out of the store.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PipeyardError(f"{name!r} is no component name. Write 'name' or 'group/name', as the folder is called.")
    return name


def spec_path(name: str) -> str:
    """Returns the path of the newest version."""
    return f"{check_name(name)}/{SPEC}"


def tag_path(name: str, tag: str) -> str:
    """Returns the path of what `tag` names."""
    return f"{check_name(name)}/{TAGS}/{VersionSelector.of(tag=tag).tag}"


def digest_path(name: str, digest: str) -> str:
    """Returns the path of the version with this digest."""
    return f"{check_name(name)}/{DIGESTS}/{VersionSelector.of(digest=digest).digest}"


def digest_in(path: str) -> str | None:
    """Returns the digest that a path ends in, if it is one of `digest_path`."""
    folder, _, last = path.rpartition("/")
    return last if folder.endswith(f"/{DIGESTS}") and _DIGEST.fullmatch(last) else None


def moves(path: str) -> bool:
    """True if the content of a path may change: of all but what is named by its digest."""
    return digest_in(path) is None and not path.startswith(f"{RELEASES}/sha256/")


def digest_of(spec: bytes) -> str:
    """Returns the digest of a specification: SHA-256, in hex, of its bytes with Windows' line ends as Unix'.

    That is how kfp 1 computes it, so that a checkout on Windows has the same digests.
    """
    return hashlib.sha256(spec.replace(b"\r\n", b"\n")).hexdigest()


def has_digest(spec: bytes, digest: str) -> bool:
    """True if `digest` is that of the specification, or of its bytes as they are (what `sha256sum` prints)."""
    return digest in {digest_of(spec), hashlib.sha256(spec).hexdigest()}


def pointer(data: bytes) -> str | None:
    """Returns the digest that a tag's file refers to, or None if it holds the specification itself."""
    found = _POINTER.fullmatch(data)
    return found[1].decode() if found else None


def publication(name: str, spec: bytes, tags: Iterable[str] = ()) -> dict[str, bytes]:
    """Returns the files that publish a version, by path, in the order to write them.

    The version itself comes first: written in this order, each whole, no tag ever names what isn't there.
    """
    return {
        digest_path(name, digest_of(spec)): spec,
        **{tag_path(name, tag): spec for tag in tags},
        spec_path(name): spec,
    }


def write_index(entries: Mapping[str, IndexEntry]) -> bytes:
    """Returns `index.json` for components by name; the same entries give the same bytes."""
    components = {
        name: {
            "description": entry.description,
            "digests": list(entry.digests),
            "tags": dict(sorted(entry.tags.items())),
        }
        for name, entry in sorted(entries.items())
    }
    return (json.dumps({"format": _INDEX_FORMAT, "components": components}, indent=1) + "\n").encode()


def read_index(data: bytes) -> dict[str, IndexEntry]:
    """Reads `index.json`.

    Raises:
        ValueError: it isn't one, or is in a format of later days.
    """
    try:
        index = jsons.load(data)
        found = index["format"]
        if found == _INDEX_FORMAT:
            return {name: _entry(each) for name, each in index["components"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{INDEX} isn't an index of components ({type(error).__name__}: {error})") from error
    raise ValueError(f"{INDEX} has the format {found!r}; this Pipeyard reads {_INDEX_FORMAT}")


def _entry(told: Mapping[str, Any]) -> IndexEntry:
    return IndexEntry(str(told.get("description") or ""), tuple(told.get("digests", ())), dict(told.get("tags", {})))
