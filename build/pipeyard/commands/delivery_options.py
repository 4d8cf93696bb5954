"""What the commands that deliver share: their options, and what they read before anything is contacted."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipeyard.repository.project import Project


def delivery_options(function):
    """Adds PIPELINES, `--env` (without a default), `--output` and `--allow-dirty`."""
    options = [
        click.argument("pipelines", nargs=-1),
        click.option(
            "--env",
            "environment",
            required=True,
            metavar="NAME",
            help="Environment of settings.yaml; there is no default.",
        ),
        click.option(
            "--output",
            "-o",
            "dist",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder with the build; default: dist/ of the project.",
        ),
        click.option("--allow-dirty", is_flag=True, help="Take what was built of changes that aren't committed."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def order_of_commits(project: "Project") -> Callable[[str, str], bool]:
    """Returns a function that is true if the first commit is known to come before the second.

    What this clone doesn't know it asks its origin for: a build that ends late was cloned before the commit which was
    deployed in the meantime.
    """
    import functools

    from pipeyard.repository import changes, commits

    git = changes.git_of(project.root)

    @functools.cache
    def precedes(earlier: str, later: str) -> bool:
        commits.fetch(git, (earlier, later))
        return commits.comes_after(git, later, earlier)

    return precedes
