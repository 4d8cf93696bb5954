"""What tests of whole pipelines ask of a finished run."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from support.checkout import ROOT

from pipeyard.repository import project, venvs
from pipeyard.runs.record import Run, Task

# What `make` tells the processes it starts.
SETUP = {**os.environ, "UV": venvs.uv(project.find(ROOT)), "UV_PYTHON": sys.executable}
PIPEYARD = Path(sys.executable).with_name("pipeyard")


@dataclass
class Ran:
    """A finished `pipeyard run`."""

    code: int
    text: str
    run: Run
    folder: Path

    def __getitem__(self, name: str) -> Task:
        return next(task for task in self.run.tasks if task.name == name)

    @property
    def states(self) -> dict[str, str]:
        return {task.name: str(task.state) for task in self.run.tasks}

    def output(self, name: str) -> object:
        """Returns the output parameter of that name."""
        return next(task.output_parameters[name] for task in self.run.tasks if name in task.output_parameters)

    def artifact(self, task: str, name: str) -> Path:
        return Path(self[task].output_artifacts[name].uri)
