"""Steps of a finished run, run again alone: the same inputs and parameters, on another engine."""

import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeyard.repository import project, venvs
from pipeyard.runs.record import Task

ROOT = Path(__file__).parents[2]
READERS = Path(__file__).parent / "readers"
STEP_SECONDS = 600
_PROJECT = project.find(ROOT)


@dataclass(frozen=True)
class Step:
    """What a step was given and what it wrote.

    Attributes:
        component: its name.
        parameters: input parameters by name.
        inputs: input artifacts by name.
        outputs: output artifacts by name.
        values: output parameters by name, as text.
    """

    component: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]
    values: Mapping[str, str]

    @classmethod
    def of(cls, task: Task) -> "Step":
        """Returns a task of a run."""
        return cls(
            task.component,
            task.parameters,
            {name: Path(artifact.uri) for name, artifact in task.input_artifacts.items()},
            {name: Path(artifact.uri) for name, artifact in task.output_artifacts.items()},
            {name: _text(value) for name, value in task.output_parameters.items()},
        )

    def with_input(self, name: str, path: Path) -> "Step":
        """Returns it with another input artifact."""
        return dataclasses.replace(self, inputs={**self.inputs, name: path})

    def again(self, folder: Path, **changed: Any) -> "Step":
        """Runs it as a process in its environment, as its spec says, with some parameters changed.

        Args:
            folder: where its outputs go.
        """
        component = _PROJECT.components[self.component]
        parameters = {**self.parameters, **changed}
        outputs = {output["name"]: folder / output["name"] for output in component.spec["outputs"]}
        container = component.spec["implementation"]["container"]
        defaults = {each["name"]: each.get("default", "") for each in component.spec["inputs"]}

        def filled(argument: Any) -> str:
            match argument:
                case {"inputValue": name}:
                    return _text(parameters.get(name, defaults[name]))
                case {"inputPath": name}:
                    return str(self.inputs[name])
                case {"outputPath": name}:
                    return str(outputs[name])
            return argument

        command = [filled(argument) for argument in [*container["command"], *container["args"]]]
        _run(self.component, command)
        values = {name: path.read_text() for name, path in outputs.items() if name in self.values}
        return Step(self.component, parameters, self.inputs, outputs, values)


def read(reader: str, steps: Sequence[Step], *outputs: str) -> list[Any]:
    """Returns what a script of `readers/` prints of some outputs of each step of one component."""
    paths = [str(step.outputs[name]) for step in steps for name in outputs]
    return json.loads(_run(steps[0].component, ["python", str(READERS / f"{reader}.py"), *paths]))


def environment(component: str) -> tuple[Path, dict[str, str]]:
    """Returns the Python of a component's steps, and the environment variables they run under."""
    found = _PROJECT.components[component]
    return venvs.folder_of(found.folder) / "bin" / "python", venvs.variables(found, os.environ)


def _run(component: str, command: Sequence[str]) -> str:
    """Runs `python ...` in a component's environment; returns what it prints."""
    python, env = environment(component)
    assert command[0] == "python"
    done = subprocess.run(
        [str(python), *command[1:]], env=env, capture_output=True, text=True, check=False, timeout=STEP_SECONDS
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
