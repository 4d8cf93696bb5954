"""Projects in git repositories of their own, and what `pipeyard` does there."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support import scratch_git

PIPEYARD = Path(sys.executable).with_name("pipeyard")


@dataclass(frozen=True)
class Built:
    """A `pipeyard build` that has ended.

    Attributes:
        said: what it printed for people.
        images: component to its entry of the JSON that it printed.
        summary: all of that JSON.
    """

    code: int
    said: str
    commit: str = ""
    images: Mapping[str, Mapping] = field(default_factory=dict)
    summary: Mapping = field(default_factory=dict)


class Project:
    """A git repository with a project of Pipeyard's in it.

    Attributes:
        prefix: where images go.
    """

    def __init__(self, folder: Path, prefix: str, python_image: str, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.prefix = prefix
        self._python_image = python_image
        self.variables = variables

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        """Runs git in the repository; returns what it prints."""
        return scratch_git.git(self.folder, *arguments)

    def commit(self, files: Mapping[str, str]) -> str:
        """Writes files and commits all that changed; returns the commit."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return scratch_git.commit(self.folder)

    def start_build(self, *options: str, **variables: str) -> "subprocess.Popen[str]":
        """Starts `pipeyard build --json` in the background."""
        command = [
            str(PIPEYARD), "build", "--json", f"--project={self.folder}", f"--registry={self.prefix}",
            f"--python-image={self._python_image}", "--builder-option=--network=host", *options,
        ]  # fmt: skip
        environment = {key: value for key, value in {**self.variables, **variables}.items() if key != "COMMIT_SHA"}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=self.folder
        )

    def build(self, *options: str, **variables: str) -> Built:
        """Runs `pipeyard build --json` to its end."""
        return finished(self.start_build(*options, **variables))

    def published(self) -> list[str]:
        """Returns what a build has left in `dist/`, but for logs."""
        dist = self.folder / "dist"
        found = (path for path in dist.rglob("*") if path.is_file() and path.suffix != ".log")
        return sorted(str(path.relative_to(dist)) for path in found)


def finished(process: "subprocess.Popen[str]") -> Built:
    """Waits for a build."""
    stdout, said = process.communicate(timeout=1800)
    if process.returncode:
        return Built(process.returncode, said)
    told = json.loads(stdout)
    return Built(0, said, told["commit"], {each["name"]: each for each in told["images"]}, told)
