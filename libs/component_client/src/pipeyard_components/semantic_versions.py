"""Semantic versions (https://semver.org, 2.0.0), and how large a step between two of them is."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import total_ordering

from pipeyard_components.errors import PipeyardError

_NUMBER = r"(0|[1-9]\d*)"
_WORD = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_WORD}(?:\.{_WORD})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?", re.ASCII
)


class Step(enum.IntEnum):
    """How far a version has to go from another."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


@total_ordering
@dataclass(frozen=True, eq=False)
class SemanticVersion:
    """A version without its build metadata, which counts for nothing."""

    major: int
    minor: int
    patch: int
    before: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> SemanticVersion:
        """Reads `1.2.3` or `1.2.3-rc.1`.

        Raises:
            PipeyardError: it is no semantic version.
        """
        found = _VERSION.fullmatch(text)
        if not found:
            raise PipeyardError(f"{text!r} is no semantic version. Write three numbers, like 1.4.0.")
        major, minor, patch, before = found.groups()
        return cls(int(major), int(minor), int(patch), tuple(before.split(".")) if before else ())

    def least_after(self, step: Step) -> SemanticVersion:
        """Returns the least version that is such a step away.

        Below 1.0.0 the second number counts as the first, and the third as the second, as in Cargo and npm. A version
        that stands before its release (1.0.0-rc.1) promises nothing: any later one will do.
        """
        if step == Step.NONE:
            return self
        if self.before:
            return SemanticVersion(self.major, self.minor, self.patch)
        if not self.major:
            if step == Step.MAJOR:
                return SemanticVersion(0, self.minor + 1, 0)
            return SemanticVersion(0, self.minor, self.patch + 1)
        if step == Step.MAJOR:
            return SemanticVersion(self.major + 1, 0, 0)
        if step == Step.MINOR:
            return SemanticVersion(self.major, self.minor + 1, 0)
        return SemanticVersion(self.major, self.minor, self.patch + 1)

    @property
    def _key(self) -> tuple[object, ...]:
        words = tuple((0, int(each), "") if each.isdigit() else (1, 0, each) for each in self.before)
        return self.major, self.minor, self.patch, not self.before, words

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SemanticVersion) and self._key == other._key

    def __lt__(self, other: SemanticVersion) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}" + (f"-{'.'.join(self.before)}" if self.before else "")
