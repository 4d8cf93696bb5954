"""What a check finds."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """Something to mend.

    Attributes:
        part: folder or file of the repository that it is about, relative to its root.
        check: name of the check that found it.
        problem: what is wrong.
        remedy: what to do about it; empty if `problem` says so.
    """

    part: str
    check: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.part}: {self.text}"

    @property
    def text(self) -> str:
        """Problem and remedy as sentences."""
        return f"{self.problem}. {self.remedy}" if self.remedy else self.problem
