"""Does what a page of docs/ says, block by block, in a repository."""

import functools
import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from engine.sandbox import programs
from support.checkout import ROOT

# Pages that tests/serving follows; tests/delivery follows all others.
OF_SERVING = (
    "tasks/serve-here.md",
    "tasks/serve-on-kserve.md",
    "tasks/roll-out-with-a-canary.md",
    "tasks/watch-what-is-served.md",
    "tasks/ab-with-labels.md",
    "tasks/score-a-file.md",
    "tasks/serve-on-vertex.md",
)
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


class Walk:
    """Somebody who follows pages in one terminal, and leaves programs that go on running in another.

    Args:
        root: the repository's.
        instead: text on pages to what stands for it here; the longest is replaced first.
        variables: of the terminal.
        logs: folder that gets what programs print that go on running.

    Attributes:
        said: each command, as it was run, with what it printed.
    """

    def __init__(self, root: Path, instead: Mapping[str, str], variables: Mapping[str, str], logs: Path) -> None:
        self.root = root
        self.instead = dict(sorted(instead.items(), key=lambda item: -len(item[0])))
        self.variables = dict(variables)
        self.said: list[tuple[str, str]] = []
        self._logs = logs
        self._running: list[programs.Background] = []

    def follow(self, page: str) -> list[tuple[str, str]]:
        """Does all that a page says, and returns what was run and printed.

        Args:
            page: path in docs/. Its blocks of Python begin with a comment that names the file that they are; blocks
                called `console` are what only somebody at a screen does.

        Raises:
            AssertionError: a command failed.
        """
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        pattern = "|".join(map(re.escape, self.instead))
        text = re.sub(pattern, lambda match: self.instead[match[0]], text)
        before = len(self.said)
        for _, kind, block in _BLOCK.findall(text):
            content = textwrap.dedent(block)
            if kind == "sh":
                for line in content.replace("\\\n", " ").splitlines():
                    self._run(line)
            elif kind == "yaml":
                self._set(yaml.safe_load(content))
            elif kind == "python":
                self._write(content)
            elif kind == "console":
                continue
            elif kind == "toml":
                with (self.root / "pyproject.toml").open("a", encoding="utf-8") as file:
                    file.write(content)
            else:
                assert kind == "json", f"{page} has a block of {kind}, which nobody follows"
                (self.root / "dist" / "notification.json").write_text(content, encoding="utf-8")
        return self.said[before:]

    def stop(self) -> None:
        """Ends what was left running."""
        for program in self._running:
            program.stop()

    def _run(self, line: str) -> None:
        if line.startswith("export "):
            for each in shlex.split(line, comments=True)[1:]:
                name, _, value = each.partition("=")
                self.variables[name] = value
            return
        if "DIGEST" in line:
            line = line.replace("DIGEST", _DIGEST.findall(self.said[-1][1])[-1])
        if "--port" in line:
            self._leave_running(line)
            return
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.root,
            env=self.variables,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, f"{line}: exit code {done.returncode}\n{done.stdout}"
        self.said.append((line, done.stdout))

    def _write(self, content: str) -> None:
        named = re.match(r"# (\S+\.py)\n", content)
        assert named, f"a block of Python that doesn't begin with its file's name: {content[:80]}"
        (self.root / named[1]).write_text(content[named.end() :], encoding="utf-8")

    def _leave_running(self, line: str) -> None:
        port = int(line.partition("--port ")[2].split()[0])
        command = ["bash", "-c", f"exec env {line}"]
        log = self._logs / f"{port}.log"
        listens = functools.partial(programs.listens, port)
        self._running.append(programs.Background(command, log, listens, cwd=self.root, env=self.variables))

    def _set(self, changed: Mapping[str, Any]) -> None:
        path = self.root / "settings.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        _merge(settings, changed)
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")


def _merge(into: dict[str, Any], changed: Mapping[str, Any]) -> None:
    for key, value in changed.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def stand_in(program: str, folder: Path, does: str = "") -> Path:
    """Makes a program that notes what it is asked, a line a call; returns where.

    Args:
        folder: on PATH.
        does: lines of sh for what it does beyond that.
    """
    notes = folder / f"{program}.notes"
    path = folder / program
    path.write_text(f'#!/bin/sh\necho "$*" >>{shlex.quote(str(notes))}\n{does}', encoding="utf-8")
    path.chmod(0o755)
    return notes


def terminal(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a terminal in which folder's programs come first, and git knows who commits."""
    people = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    found = {**os.environ, **people, **variables}
    return {**found, "PATH": f"{folder}{os.pathsep}{found['PATH']}"}
