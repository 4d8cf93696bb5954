"""Models that are served elsewhere than on this machine: shown and decided on by deploy's program, in its environment.

Which there are, and where, is what the environment's settings say to deploy: `serving_target`, `serving_options`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.repository import component_programs

if TYPE_CHECKING:
    from pipeyard.ir import Pipeline
    from pipeyard.repository.project import Project
    from pipeyard.settings.model import Environment

_PROGRAM = "deploy.operating"
# What this machine, or whoever reads `rollout.json` and `models.config`, follows in a folder.
_OF_FOLDERS = ("local", "tfserving")


@dataclass(frozen=True)
class RemoteModel:
    """A model, and what deploy's program has to know of where it is served."""

    name: str
    target: str
    options: Mapping[str, Any]
    serving_uri: str

    def arguments(self) -> list[str]:
        """Returns what the program is given."""
        return [
            f"--serving-target={self.target}",
            f"--serving-options={json.dumps(self.options)}",
            f"--serving-uri={self.serving_uri}",
            f"--model-name={self.name}",
        ]


def is_remote(environment: "Environment") -> bool:
    """True if an environment serves a model elsewhere: by a target of its own, or from an object store."""
    return any(_is_remote(_given(environment, pipeline)) for pipeline in ("", *environment.pipelines))


def models(
    project: "Project", environment: "Environment", compiled: Callable[[str], "Pipeline"], first: str = ""
) -> Iterator[RemoteModel]:
    """Yields the models that the environment's pipelines serve elsewhere; each of these is compiled.

    Args:
        compiled: returns a pipeline by its name.
        first: name of the pipeline that is looked at before others.
    """
    from pipeyard.ir import values

    for pipeline in sorted(environment.chosen(project.pipelines), key=lambda name: name != first):
        if not _is_remote(_given(environment, pipeline)):
            continue
        declared = compiled(pipeline).spec.root.input_definitions.parameters
        if "serving_uri" not in declared:
            continue
        given = {
            name: values.from_proto(each.default_value)
            for name, each in declared.items()
            if each.HasField("default_value")
        } | environment.parameters_of(pipeline, declared)
        yield RemoteModel(
            str(given.get("model_name") or pipeline),
            str(given.get("serving_target") or _OF_FOLDERS[0]),
            given.get("serving_options") or {},
            str(given["serving_uri"]),
        )


def find(
    project: "Project", environment: "Environment", compiled: Callable[[str], "Pipeline"], name: str
) -> RemoteModel:
    """Returns the model of a name.

    Raises:
        PipeyardError: no pipeline of the environment serves one called so elsewhere.
    """
    seen = []
    for model in models(project, environment, compiled, name):
        if model.name == name:
            return model
        seen.append(model.name)
    raise PipeyardError(f"{environment.name} serves no model {name!r}. {near_misses(name, seen)}")


def ask(project: "Project", model: RemoteModel, action: str, *more: str, say: Callable[[str], None]) -> str:
    """Asks deploy's program; returns what it prints: how the model's rollout stands then.

    Args:
        action: `status`, `promote` or `rollback`.
        more: further arguments of the program.
        say: is told when deploy's environment is made first.

    Raises:
        PipeyardError: it refuses, or the place where the model is served can't be reached.
    """
    arguments = ["-m", _PROGRAM, action, *model.arguments(), *more]
    return component_programs.run(project, "deploy", arguments, f"{model.name} at {model.target} is asked", say)


def _given(environment: "Environment", pipeline: str) -> Mapping[str, Any]:
    return {**environment.parameters, **environment.of(pipeline).parameters}


def _is_remote(given: Mapping[str, Any]) -> bool:
    uri = str(given.get("serving_uri", "")).removeprefix("file://")
    return given.get("serving_target", _OF_FOLDERS[0]) not in _OF_FOLDERS or "://" in uri
