"""Copies what the client shares with stepkit into its wheel and its source archive, under a name of its own.

No index has stepkit, so it can't be required by name: whoever registered that name would be installed. And a package
`stepkit` of the wheel's own would hide, or be hidden by, a whole one in the same environment.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHARED = "../stepkit/src/stepkit/errors.py"
COPY = "pipeyard_components/_stepkit_errors.py"


class SharedWithStepkit(BuildHookInterface[Any]):
    """Hatchling finds it by its base class."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the file. Built from a source archive, the wheel has the archive's copy; editable, it has stepkit."""
        source = Path(self.root, SHARED).resolve()
        if version != "editable" and source.exists():
            build_data["force_include"][str(source)] = f"src/{COPY}" if self.target_name == "sdist" else COPY
