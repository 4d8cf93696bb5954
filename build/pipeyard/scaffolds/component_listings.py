"""What is generated from all components together: the README's table, and what CI servers read (limits of time)."""

import contextlib
from collections.abc import Collection
from pathlib import Path

from pipeyard.checks import readmes
from pipeyard.ci import rendered_files
from pipeyard.errors import PipeyardError
from pipeyard.repository.project import Project
from pipeyard.system import files


def kept(project: Project) -> set[str]:
    """Returns the CI servers whose files are as they are rendered. Others are nobody's, or somebody's own."""
    found = set()
    for server in rendered_files.SERVERS:
        try:
            if not rendered_files.stale(project, server):
                found.add(server)
        except PipeyardError:  # no repository of git's, or no flow
            continue
    return found


def renew(project: Project, servers: Collection[str]) -> list[Path]:
    """Writes what has changed with the components, and returns it.

    Args:
        servers: whose files are rendered anew, as `kept` said before.

    Raises:
        OSError: a file can't be written.
    """
    stale = [rendered_files.stale(project, each) for each in servers]
    texts = {project.root / name: text for each in stale for name, text in each.items()}
    with contextlib.suppress(PipeyardError):  # it keeps no table
        texts |= readmes.of_project(project)
    for path, text in texts.items():
        files.write_whole(path, text)
    return list(texts)
