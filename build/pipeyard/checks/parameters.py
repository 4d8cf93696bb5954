"""Whether an environment's parameters and retries fit its pipelines as they would be compiled now."""

from typing import TYPE_CHECKING

from pipeyard.errors import PipeyardError
from pipeyard.settings import fit

if TYPE_CHECKING:
    from pipeyard.ir import Pipeline
    from pipeyard.repository.project import Project
    from pipeyard.settings.model import Environment


def compiled(project: "Project", pipeline: str) -> "Pipeline":
    """Returns a pipeline as it would be compiled now.

    Raises:
        PipeyardError: there is no such pipeline, or it doesn't compile.
    """
    from pipeyard import ir
    from pipeyard.compiling import compiler

    return ir.parse(compiler.compile_pipeline(project.pipeline(pipeline)).text)


def check(project: "Project", environment: "Environment") -> list[str]:
    """Returns the pipelines that the environment is for, if all its parameters and retries fit them.

    Raises:
        PipeyardError: names every parameter, of every pipeline, that is missing, unknown, or of the wrong type, and
            every step with retries that there isn't.
    """
    problems = []
    made = {}
    for name in environment.chosen(project.pipelines):
        made[name] = compiled(project, name)
        try:
            fit.check(environment, name, made[name].spec.root.input_definitions)
        except PipeyardError as error:
            problems.append(str(error))
        try:
            fit.retries(environment, name, made[name].text)
        except PipeyardError as error:
            problems.append(str(error))
    problems += fit.unused(environment, made)
    if problems:
        raise PipeyardError("\n".join(problems))
    return list(made)
