"""Templates rendered, and names that what is rendered can have."""

import keyword
import re
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.scaffolds.literals import dictionary, quoted

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def check_name(name: str, what: str) -> None:
    """Checks that a folder, a Python module and a part of Kubernetes' names can be called so.

    Raises:
        PipeyardError: they can't.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f" Did you mean {near!r}?" if _NAME.fullmatch(near) and not keyword.iskeyword(near) else ""
        raise PipeyardError(f"{name!r} can't be {what}'s name: write lower-case letters, digits and underscores.{hint}")


def rendered(template: str, **told: Any) -> str:
    """Returns a template's text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    helpers = {"quoted": quoted, "dictionary": dictionary, "commented": _commented}
    return environment.get_template(template).render(**told, **helpers)


def _commented(text: str) -> str:
    """Returns a text for a comment or a docstring, which an end of a line would end."""
    return quoted(text)[1:-1]
