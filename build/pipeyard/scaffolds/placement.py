"""Files put in their places, all or none."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.system import files


def refuse_taken(*paths: Path) -> None:
    """Checks that nothing is where something is to be written.

    Raises:
        PipeyardError: there is.
    """
    for path in paths:
        if path.exists():
            raise PipeyardError(f"{path} is there already. Choose another name, or remove it.")


@contextlib.contextmanager
def new_folder(folder: Path, contents: Mapping[str, str]) -> Iterator[Path]:
    """Gives a folder aside with files in it, which takes its place when the block ends, if that doesn't fail.

    Raises:
        PipeyardError: meanwhile something has come to be there.
    """
    try:
        with files.folder_whole(folder) as aside:
            for name, text in contents.items():
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                (aside / name).write_text(text, encoding="utf-8")
            yield aside
    except files.TakenError as error:
        raise PipeyardError(f"{folder} is there already. Choose another name, or remove it.") from error


def place(folder: Path, contents: Mapping[str, str], others: Mapping[Path, str]) -> None:
    """Writes a new folder, and files elsewhere; what fails leaves all as it was.

    Args:
        contents: the folder's files by their paths within it.
        others: new files, and new texts of files that are there.

    Raises:
        OSError, PipeyardError: something can't be written.
    """
    before = {path: path.read_text(encoding="utf-8") if path.exists() else None for path in others}
    done: list[Path] = []
    try:
        with new_folder(folder, contents):
            for path, text in others.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write_whole(path, text)
                done.append(path)
    except BaseException:
        for path in done:
            earlier = before[path]
            if earlier is None:
                path.unlink(missing_ok=True)
            else:
                files.write_whole(path, earlier)
        raise
