"""Components' Dockerfiles, which differ in names alone: rendered from `images/component.Dockerfile.j2`.

A component takes part by saying in its `pyproject.toml` which image its own is built on (`[tool.pipeyard] base-image`);
one that doesn't has a Dockerfile written by hand.
"""

import tomllib
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.repository.project import Component, Project

TEMPLATE = Path("images/component.Dockerfile.j2")
# The image that isn't built here.
PYTHON = "python"
_PYTHON_DEFAULT = "python:3.11-slim"


def of_component(project: Project, component: Component) -> dict[Path, str]:
    """Returns the component's Dockerfile as it should be; nothing if it is written by hand.

    Raises:
        PipeyardError: there is no template.
    """
    base = _base_image(component)
    if base is None:
        return {}
    template = project.root / TEMPLATE
    if not template.is_file():
        raise PipeyardError(
            f"{component.folder / 'pyproject.toml'} names a base-image, but {TEMPLATE} is missing. "
            "Restore it, or take the key out."
        )
    return {component.folder / "Dockerfile": _render(template, project, component, base)}


def _base_image(component: Component) -> str | None:
    path = component.folder / "pyproject.toml"
    if not path.is_file():
        return None  # told of by other checks
    return tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("pipeyard", {}).get("base-image")


def _render(template: Path, project: Project, component: Component, base: str) -> str:
    import jinja2

    own = base != PYTHON
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        name=component.name,
        packages=[each.relative_to(project.root.resolve()).as_posix() for each in component.local_packages],
        argument=f"{base.upper()}_IMAGE",
        default=f"pipeyard/{base}:dev" if own else _PYTHON_DEFAULT,
        is_own=own,
    )
