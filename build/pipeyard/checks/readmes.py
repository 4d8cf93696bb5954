"""Tables in READMEs that come from the tree: each component's interface, and the catalogue of components."""

import re
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.repository.project import Component, Project


def expected(project: Project) -> dict[Path, str]:
    """Returns each README that has a generated part, as it should be.

    Raises:
        PipeyardError: a README or its markers are missing.
    """
    wanted: dict[Path, str] = {}
    for component in project.components.values():
        wanted |= of_component(component)
    return wanted | of_project(project)


def of_component(component: Component) -> dict[Path, str]:
    """Returns a component's README as it should be. See `expected`."""
    path = component.folder / "README.md"
    return {path: _replace(path, "interface", interface(component))}


def of_project(project: Project) -> dict[Path, str]:
    """Returns the project's README as it should be. See `expected`."""
    path = project.root / "README.md"
    return {path: _replace(path, "components", catalogue(project))}


def interface(component: Component) -> str:
    """Returns the tables of a component's inputs and outputs, as Markdown."""
    spec = component.spec
    meanings = {**component.annotation("input-types", {}), **component.annotation("output-types", {})}
    inputs = ["| Input | Type | Default | |", "|---|---|---|---|"]
    inputs += [
        f"| `{each['name']}` | {_type(each, meanings)} | {_default(each)} | {_cell(each.get('description', ''))} |"
        for each in spec.get("inputs", [])
    ]
    outputs = ["| Output | Type | |", "|---|---|---|"]
    outputs += [
        f"| `{each['name']}` | {_type(each, meanings)} | {_cell(each.get('description', ''))} |"
        for each in spec.get("outputs", [])
    ]
    return "\n".join([*inputs, "", *outputs])


def catalogue(project: Project) -> str:
    """Returns the table of components, as Markdown."""
    rows = ["| Component | |", "|---|---|"]
    for component in project.components.values():
        description = _cell(component.spec.get("description", ""))
        rows.append(f"| [{component.name}](components/{component.name}) | {description} |")
    return "\n".join(rows)


def _replace(path: Path, name: str, content: str) -> str:
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if begin not in text or end not in text:
        raise PipeyardError(f"{path} needs the lines {begin!r} and {end!r}, between which its table is kept.")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def _type(each: dict[str, Any], meanings: dict[str, str]) -> str:
    kind = each["type"]
    meaning = meanings.get(each["name"])
    return f"{kind} ({meaning})" if meaning and meaning != kind else kind


def _default(each: dict[str, Any]) -> str:
    if "default" not in each:
        return "" if each.get("optional") else "required"
    return f"`{each['default']}`" if each["default"] else "empty"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
