"""This checkout as it is: what git tracks, and what it would with `git add`."""

from pathlib import Path

from support.scratch_git import git

ROOT = Path(__file__).parents[2]


def listed() -> list[str]:
    """Returns the names of its files, those that are deleted but not committed so included."""
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [name for name in names if name]


def copy_files(folder: Path) -> None:
    """Copies its files over those of a folder; what is deleted here is deleted there."""
    for name in listed():
        source, target = ROOT / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
        else:
            target.unlink(missing_ok=True)


def link_environments(folder: Path) -> None:
    """Lets components and services in a copy use the environments that were made here."""
    for environment in (*ROOT.glob("components/*/.venv"), *ROOT.glob("services/*/.venv")):
        (folder / environment.relative_to(ROOT)).symlink_to(environment)
