"""The schema of a pipeline's data, for review: inferred, or compared with the one that is kept beside the pipeline.

The pipeline's own steps that read its data and look at them run, alone: the task whose component writes `Examples` and
takes no artifact, and the component of the one that writes a `Schema`. They have the pipeline's parameters and the
step cache, so that data which a run has read isn't read again. How a schema follows data is the component's affair:
the program in its annotation `pipeyard.dev/review-schema` says it.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeyard import ir
from pipeyard.compiling import compiler
from pipeyard.compiling.passes.traversal import visits
from pipeyard.errors import PipeyardError
from pipeyard.ir import values
from pipeyard.local import program_checks, runner
from pipeyard.local.display import Display
from pipeyard.local.launcher import run_logged
from pipeyard.repository.project import Component, Project
from pipeyard.runs.record import Run, State
from pipeyard.system import logs

FILE = "schema.pbtxt"
_EXAMPLES, _SCHEMA, _STATISTICS = "Examples", "Schema", "ExampleStatistics"
_SCHEMA_TEXT = "schema_text"
_SECONDS = 600
_LINES = 20

_PIPELINE = """
import json

from kfp import dsl

from pipeyard.component_store import ComponentStore

_given = json.loads({given!r})
_components = ComponentStore(local_search_paths=[{folder!r}]).load_components({source!r}, {looks!r})


@dsl.pipeline(name={name!r})
def pipeline():
    data = getattr(_components, {source!r})(**_given[0])
    getattr(_components, {looks!r})(**{{{examples!r}: data.outputs[{written!r}]}}, **_given[1])
"""


@dataclass(frozen=True)
class SchemaChange:
    """What data asks of a column of a schema.

    Attributes:
        change: `added`, `removed` or `changed`.
        fields: each with its name (`field`), as it is in the schema and as the data have it.
    """

    column: str
    change: str
    fields: Sequence[Mapping[str, str]]

    def lines(self) -> list[str]:
        """Returns it in words."""
        if self.change == "removed":
            return [f"{self.column}: the data don't have it"]
        if self.change == "added":
            told = "; ".join(f"{each['field']} {each['data']}" for each in self.fields)
            return [f"{self.column}: not in the schema: {told}"]
        return [
            f"{self.column}: {each['field']}: {each['schema'] or 'nothing'}, where the data have "
            f"{each['data'] or 'nothing'}"
            for each in self.fields
        ]


@dataclass(frozen=True)
class SchemaSteps:
    """What runs: the component that reads data, with its parameters, and the one that looks at them.

    Attributes:
        written: the output of the first that the second takes.
        examples: the input of the second that takes it.
    """

    source: Component
    written: str
    parameters: Mapping[str, Any]
    looks: Component
    examples: str


@dataclass(frozen=True)
class SchemaReview:
    """Runs the steps that a schema is made by.

    Attributes:
        compiled: the pipeline's intermediate representation.
        parameters: the pipeline's.
        root: folder that holds a folder a run, and the step cache.
        shown: makes what shows a run.
    """

    project: Project
    compiled: ir.Pipeline
    parameters: Mapping[str, Any]
    root: Path
    shown: Callable[[], Display]

    def inferred(self) -> str:
        """Returns the schema that is inferred from the train split, as text.

        Raises:
            PipeyardError: the pipeline has no such steps, or one of them fails.
        """
        run = self._run({})
        return Path(_artifact(run, _SCHEMA)).read_text(encoding="utf-8")

    def updated(self, schema: str) -> tuple[str, list[SchemaChange]]:
        """Returns the schema that the data fit, and what had to be changed in one (as text) for it.

        Raises:
            PipeyardError: as `inferred`; or the component can't compare.
        """
        looks = steps_of(self.project, self.compiled, self.parameters).looks
        command = looks.annotation("review-schema", [])
        if not command:
            raise PipeyardError(
                f"The component {looks.name} can't compare a schema with data: {looks.folder / 'component.yaml'} has "
                "no annotation pipeyard.dev/review-schema."
            )
        run = self._run({_SCHEMA_TEXT: schema})
        with tempfile.TemporaryDirectory(prefix="pipeyard-schema-") as scratch:
            folder = Path(scratch)
            (folder / FILE).write_text(schema, encoding="utf-8")
            arguments = ["--schema", FILE, "--statistics", _artifact(run, _STATISTICS)]
            arguments += ["--updated", "updated", "--changes", "changes"]
            self._call(looks, [*command, *arguments], folder)
            changes = json.loads((folder / "changes").read_text(encoding="utf-8"))
            return (folder / "updated").read_text(encoding="utf-8"), [SchemaChange(**each) for each in changes]

    def _run(self, more: Mapping[str, Any]) -> Run:
        steps = steps_of(self.project, self.compiled, self.parameters)
        text = _PIPELINE.format(
            given=json.dumps([steps.parameters, more]),
            folder=str(self.project.root / "components"),
            source=steps.source.name,
            looks=steps.looks.name,
            name=f"{self.compiled.name}-schema",
            examples=steps.examples,
            written=steps.written,
        )
        with _pipeline(text) as folder:
            package = ir.parse(compiler.compile_apart(folder).text)
        run, place = runner.run(package, {}, self.root, runner.project_hosts(self.project), self.shown())
        if run.state == State.SUCCEEDED:
            return run
        failed = [task for task in run.tasks if task.state == State.FAILED]
        reasons = [
            f"{task.path} failed: {task.reason}"
            + (f"\nIts whole log: {place / task.attempts[-1].log}" if task.attempts else "")
            for task in failed
        ]
        raise PipeyardError("\n".join(reasons) or run.error or f"The run {run.id} {run.state}.")

    def _call(self, component: Component, command: Sequence[str], folder: Path) -> None:
        env = runner.project_hosts(self.project)(component.name).env
        log = folder / "log"
        try:
            code = run_logged(command, env, log, _SECONDS, cwd=folder)
        except FileNotFoundError as error:
            raise PipeyardError(f"{component.name}: the program {error} isn't in its environment.") from error
        except subprocess.TimeoutExpired as error:
            raise PipeyardError(f"{component.name} took more than {_SECONDS} s to compare the schema.") from error
        if code:
            said = logs.tail(log, _LINES, lambda text: text)
            raise PipeyardError(said or f"{component.name}'s program ended with {code} and said nothing.")


@contextmanager
def _pipeline(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pipeyard-schema-") as folder:
        (Path(folder) / "pipeline.py").write_text(text, encoding="utf-8")
        yield Path(folder)


def _artifact(run: Run, meaning: str) -> str:
    return next(each.uri for task in run.tasks for each in task.output_artifacts.values() if each.meaning == meaning)


def steps_of(project: Project, pipeline: ir.Pipeline, parameters: Mapping[str, Any]) -> SchemaSteps:
    """Finds the steps that a schema is made by.

    Raises:
        PipeyardError: there are none, or several, or what one is given is only known while the pipeline runs.
    """
    complete = runner.complete_parameters(pipeline, parameters)
    sources: dict[str, tuple[Component, Any]] = {}
    looking: dict[str, Component] = {}
    for visit in visits(pipeline, complete, program_checks.known_input):
        container = pipeline.executors.get(visit.component.executor_label, {}).get("container", {})
        if not container:
            continue
        try:
            component = project.component_of(container["image"])
        except PipeyardError:
            continue
        written = component.annotation("output-types", {}).values()
        taken = component.annotation("input-types", {}).values()
        if _EXAMPLES in written and not visit.component.input_definitions.artifacts:
            sources[visit.path] = (component, visit)
        if _SCHEMA in written and _EXAMPLES in taken and _SCHEMA not in taken:
            looking[visit.path] = component
    names = {component.name for component in looking.values()}
    if len(sources) != 1 or len(names) != 1:
        raise PipeyardError(
            f"The pipeline {pipeline.name!r} has {len(sources)} steps that read data "
            f"({', '.join(sources) or 'whose component writes Examples'}) and {len(looking)} that look at them "
            f"({', '.join(looking) or 'whose component writes a Schema'}); a schema is made by one of each. Write it "
            "by hand, or run data_validation's program."
        )
    path, (source, visit) = next(iter(sources.items()))
    declared = visit.component.input_definitions.parameters
    unknown = [name for name, value in visit.inputs.items() if value is program_checks.UNKNOWN]
    if unknown:
        raise PipeyardError(
            f"What {path} is given for {', '.join(unknown)} is only known while the pipeline runs. Run its program, "
            "and data_validation's, by hand."
        )
    given = {
        name: values.coerce(value, declared[name].parameter_type, f"the parameter {name!r} of {path}")
        for name, value in visit.inputs.items()
        if value is not None
    }
    looks = next(iter(looking.values()))
    return SchemaSteps(
        source,
        _key(source.annotation("output-types", {}), _EXAMPLES),
        given,
        looks,
        _key(looks.annotation("input-types", {}), _EXAMPLES),
    )


def _key(meanings: Mapping[str, str], meaning: str) -> str:
    return next(name for name, found in meanings.items() if found == meaning)
