"""Programs of components that the toolchain asks outside of any run."""

import os
import subprocess
from collections.abc import Callable

from pipeyard.errors import PipeyardError
from pipeyard.repository import venvs
from pipeyard.repository.project import Project


def run(
    project: Project,
    component: str,
    arguments: list[str],
    purpose: str,
    say: Callable[[str], None],
    hear: Callable[[str], object] = lambda line: None,
) -> str:
    """Runs a component's Python, whose environment is made if it isn't there, and returns what it prints.

    Args:
        arguments: of Python.
        purpose: what it is asked for, as "data are read", for messages.
        hear: gets each line that a program which doesn't fail prints to stderr.

    Raises:
        PipeyardError: the project hasn't the component, its environment can't be made, or the program fails.
    """
    if component not in project.components:
        raise PipeyardError(f"The project has no component {component!r}, by which {purpose}. Restore it.")
    found = project.components[component]
    venvs.sync(project, found.folder, say)
    command = [str(venvs.folder_of(found.folder) / "bin/python"), *arguments]
    env = venvs.variables(found, os.environ)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipeyardError(f"{component}, by which {purpose}, failed: {_reason(done.stderr)}")
    for line in done.stderr.splitlines():
        hear(line)
    return done.stdout


def _reason(printed: str) -> str:
    lines = [line for line in printed.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
