"""Removes what runs that were killed left half-written.

What the toolchain writes aside is held by its writer, see `pipeyard.system.files`. What a step writes aside has no such
mark; in the outputs of a run that is resumed nobody else writes, for its folder is held.
"""

import os
import shutil
from pathlib import Path

from pipeyard.local.step_cache import CACHE_FOLDER
from pipeyard.system import files

TASKS_FOLDER = "tasks"
OUTPUTS_FOLDER = "outputs"


def sweep_root(root: Path) -> None:
    """Removes what killed runs left beside the folders of runs, and in the step cache."""
    files.sweep(root)
    files.sweep(root / CACHE_FOLDER)


def sweep_run(folder: Path) -> None:
    """Removes what was left in the folder of a run that goes on; this process holds it."""
    files.sweep(folder)
    for place, folders, _ in os.walk(folder / TASKS_FOLDER):
        files.sweep(Path(place))
        if OUTPUTS_FOLDER in folders:
            folders.remove(OUTPUTS_FOLDER)  # artifacts may be of many files
            remove_hidden(Path(place) / OUTPUTS_FOLDER)


def remove_hidden(outputs: Path) -> None:
    """Removes what a killed step had not yet moved into its place among its outputs."""
    for path in outputs.glob(".*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
