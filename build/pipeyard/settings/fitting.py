"""Whether an environment's parameters fit its pipelines as they would be compiled now."""

from typing import TYPE_CHECKING

from pipeyard.errors import PipeyardError
from pipeyard.settings import checking

if TYPE_CHECKING:
    from pipeyard.local.protobuf import pb
    from pipeyard.project import Project
    from pipeyard.settings.model import Environment


def inputs_of(project: "Project", pipeline: str) -> "pb.ComponentInputsSpec":
    """Returns what a pipeline declares.

    Raises:
        PipeyardError: there is no such pipeline, or it doesn't compile.
    """
    from pipeyard import compiling
    from pipeyard.local import ir

    return ir.parse(compiling.compile_pipeline(project.pipeline(pipeline)).text).spec.root.input_definitions


def check(project: "Project", environment: "Environment") -> list[str]:
    """Returns the pipelines that the environment is for, if all its parameters fit them.

    Raises:
        PipeyardError: names every parameter, of every pipeline, that is missing, unknown, or of the wrong type.
    """
    problems = []
    declared = {}
    for name in environment.chosen(project.pipelines):
        declared[name] = inputs_of(project, name)
        try:
            checking.check(environment, name, declared[name])
        except PipeyardError as error:
            problems.append(str(error))
    problems += checking.unused(environment, declared)
    if problems:
        raise PipeyardError("\n".join(problems))
    return list(declared)
