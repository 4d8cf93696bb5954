"""Whether what is made of other files is as they are now: tables in READMEs, locks, base images' lists, a schema."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeyard.findings import Finding
from pipeyard.images import shared
from pipeyard.repository import uv_locks
from pipeyard.repository.project import Project
from pipeyard.settings import schema
from pipeyard.system import files


def stale_files(part: str, check: str, wanted: Mapping[Path, str], fix: bool) -> Iterator[Finding]:
    """Yields files that aren't as they would be rendered now.

    Args:
        part: what findings call what the files are of.
        check: name of the check.
        wanted: file to what it should be, see `pipeyard.checks.readmes` and `pipeyard.checks.dockerfile_template`.
        fix: write them, and yield nothing.
    """
    for path, text in wanted.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if fix:
            files.write_whole(path, text)
        else:
            yield Finding(part, check, f"{path.name} isn't as it is rendered now", "Run with --fix.")


def stale_lock(part: str, folder: Path, uv: str) -> Iterator[Finding]:
    """Yields a lock that doesn't fit its pyproject.toml. Nothing is fetched for that."""
    why = uv_locks.staleness(folder, uv)
    if why:
        yield Finding(part, "locks", f"{uv_locks.LOCK} doesn't fit pyproject.toml: {why}", "Run `pipeyard lock`.")


def stale_base_lists(project: Project, uv: str) -> Iterator[Finding]:
    """Yields lists of base images that aren't what the locks of the components on them agree in."""
    for path, text in shared.expected(project, uv).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield Finding(
                path.parent.relative_to(project.root).as_posix(),
                "locks",
                f"{path.name} isn't what the locks of the components on that image agree in",
                "Run `pipeyard lock`.",
            )


def stale_schema(project: Project, fix: bool) -> Iterator[Finding]:
    """Yields the JSON Schema of settings.yaml, if the project has one that differs from what the model renders."""
    path = project.root / schema.PATH
    if not path.exists() or schema.is_current(project.root):
        return
    if fix:
        files.write_whole(path, schema.text())
    else:
        yield Finding(
            schema.PATH.as_posix(), "schema", "it isn't what the model of settings.yaml says", "Run with --fix."
        )
