"""Commands that documentation shows are commands that there are, with options that they have."""

import itertools
import re
import shlex
from pathlib import Path

import click
import pytest
from support.shown_commands import understand

from pipeyard.repository import dependency_graph
from stepkit import tasks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def _shown() -> list[tuple[str, str]]:
    """Returns the commands of Pipeyard's in blocks of a shell, each with the file that shows it."""
    found = []
    for path in PAGES:
        for block in _BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if line.lstrip().startswith(".venv/bin/pipeyard "):
                    found.append((path.name, line.lstrip()))
    return found


@pytest.mark.parametrize(("file", "line"), _shown(), ids=lambda each: re.sub(r"\W+", "-", each)[:60])
def test_a_shown_command_is_understood(file, line):
    words = list(itertools.takewhile(lambda word: word not in (">", "|"), shlex.split(line, comments=True)[1:]))
    try:
        understand(words)
    except click.UsageError as error:
        pytest.fail(f"{file}: {line}: {error.format_message()}")


def test_links_between_pages_lead_somewhere():
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_table_of_tasks_has_each_task_with_what_its_models_answer():
    page = (ROOT / "docs/model-tasks.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    assert rows[0][1:] == [f"`{name}`" for name in tasks.TASKS]
    (answers,) = (row[1:] for row in rows if row[0] == "**train**: what the model answers")
    assert [answer.split("`")[1] for answer in answers] == [tasks.ANSWERS[name] for name in tasks.TASKS]
    pipelines = (ROOT / "pipelines").glob("*/pipeline.py")
    taken = set().union(*(dependency_graph.loaded_components(each, components()) for each in pipelines))
    assert {name for name in taken if not any(f"**{name}**" in row[0] for row in rows)} == {"summarize"}


def components() -> list[str]:
    return [path.parent.name for path in (ROOT / "components").glob("*/component.yaml")]


def test_files_that_contributing_names_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:build|components|tests|docs)/[\w./-]+)`", text)
    assert "build/pipeyard/system/retries.py" in named
    assert [path for path in named if not (ROOT / path).exists()] == []
