"""The command line, one module a command. What a command does is in the package it calls."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipeyard.repository.project import Project


def project_option(function):
    """Adds `--project`, the folder of the repository; the default is the one that the working folder is in."""
    return click.option(
        "--project",
        "project_folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=Path(),
        show_default="the repository you are in",
        help="A folder in the Pipeyard repository.",
    )(function)


def find_project(folder: Path) -> "Project":
    """Returns the project of `--project`."""
    from pipeyard.repository import project

    return project.find(folder)
