"""The target `local`: what is checked out, run here to its end."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeyard import ir
from pipeyard.compiling import compiler
from pipeyard.compiling.passes import driver, local_images
from pipeyard.deployment.targets.interface import Finished, Started
from pipeyard.errors import PipeyardError, disk_problem
from pipeyard.ir import derivation
from pipeyard.local import cluster_objects, display, program_checks, python_environments, runner
from pipeyard.local.cluster_objects import ClusterObjects
from pipeyard.local.steps import host_of
from pipeyard.runs import record, report, run_lock, stored_runs
from pipeyard.runs.report import page
from pipeyard.servers.outcome import FailedStep, RunOutcome
from pipeyard.settings import fit
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.local.steps import Host
    from pipeyard.repository.project import Project
    from pipeyard.settings import Environment

LATEST = "latest"


@dataclass(frozen=True)
class Manner:
    """How runs here are made.

    Attributes:
        options: see `runner`; `use_cache` is replaced by the argument `caching` of `Runs.start`.
        resume: run to go on with: its id or the beginning of that, or LATEST; '': a new run.
        ask: ask components' programs about their parameters before anything runs, see `local.program_checks`.
        again: go on with the pipeline's latest run, however it ended, with the parameters that are set now.
        specs: folder of components to the folder of specs that are taken in its place.
        hosts: gives the host of an image; None: components' environments.
        launchers: makes what starts steps; None: processes of this machine.
        shown: shows the run; None: on stderr.
        warn: takes what the compiler warns of.
    """

    options: runner.Options = field(default_factory=lambda: runner.Options(max_parallel=os.cpu_count() or 1))
    resume: str = ""
    ask: bool = True
    again: bool = False
    specs: Mapping[Path, Path] = field(default_factory=dict)
    hosts: "Callable[[str], Host] | None" = None
    launchers: runner.Launchers | None = None
    shown: display.Display | None = None
    warn: Callable[[str], object] = lambda _: None


def in_containers(manner: Manner, project: "Project", dist: Path, allow_dirty: bool, network: str) -> Manner:
    """Returns a manner in which each step is a container of the image that was built of what is checked out.

    Args:
        manner: tells what `shown` shows.
        dist: folder of `pipeyard build`.
        allow_dirty: take what was built of changes that aren't committed.
        network: the containers', as of `docker run --network`; '': the engine's default.

    Raises:
        PipeyardError: nothing is built, the build is of another commit, or no engine runs.
    """
    from pipeyard.local import containers, engine
    from pipeyard.packages import builds

    build = builds.built(project, dist, allow_dirty)
    docker = engine.connect()
    shown = manner.shown or _on_stderr()
    return replace(
        manner,
        shown=shown,
        specs={project.root / "components": build.specs},
        hosts=containers.image_hosts(project, build.images, docker, shown.note),
        launchers=partial(containers.Containers, docker, network),
    )


@dataclass(frozen=True)
class LocalRun(Started):
    """A run on this machine.

    Attributes:
        folder: of its record, artifacts and report.
    """

    folder: Path

    @property
    def record(self) -> record.Run:
        """As it is now: another process may be at it still."""
        return record.load(self.folder)


@dataclass(frozen=True)
class OnThisMachine:
    """This machine. Nothing is deployed here. See `interface.Runs`."""

    environment: "Environment"
    project: "Project | None" = None
    manner: Manner = field(default_factory=Manner)

    @classmethod
    def of(cls, environment: "Environment", project: "Project | None") -> Self:
        return cls(environment, project)

    def start(
        self, pipeline: str, parameters: Mapping[str, Any] | None = None, key: str = "", caching: bool | None = None
    ) -> LocalRun:
        """Runs a pipeline to its end, however that is, and writes the report. One of a key that was killed goes on.

        Raises:
            PipeyardError: no project is given, the pipeline doesn't compile, parameters don't fit it, or there is
                nothing to resume.
        """
        project = self._checked_out()
        compiled = compiler.compile_apart(project.pipeline(pipeline), self.manner.specs)
        for warning in compiled.warnings:
            self.manner.warn(warning)
        retries = fit.retries(self.environment, pipeline, compiled.text)
        package = ir.parse(derivation.derive(compiled.text, self.environment.deadline_of(pipeline), retries))
        if key:
            return self._run_once(project, package, pipeline, parameters or {}, key, caching)
        earlier = self._earlier(package.name)
        if earlier and not self.manner.again:
            given: Mapping[str, Any] = record.load(earlier).parameters
        else:
            given = self.environment.parameters_of(pipeline, package.spec.root.input_definitions.parameters)
        return self._run(project, package, {**given, **(parameters or {})}, caching, resumed=earlier)

    def wait(self, run: str, timeout: float, tell: Callable[[str], object]) -> RunOutcome:  # pylint: disable=unused-argument
        """Returns how a run ended: `start` has brought it there, unless another process is at it.

        Raises:
            PipeyardError: it hasn't ended.
        """
        folder = self._root / run
        found = record.load(folder)
        if not found.state.ended:
            if run_lock.was_left(folder):
                raise PipeyardError(
                    f"{run} was interrupted. Go on with it: pipeyard run {found.pipeline} --resume {run}"
                )
            raise PipeyardError(f"{run} hasn't ended: another process is at it. Look again later.")
        failed = [
            FailedStep(task.path, task.reason, str(folder / task.attempts[-1].log) if task.attempts else "")
            for task in found.tasks
            if task.state == record.State.FAILED
        ]
        canceled = found.state == record.State.CANCELED
        return RunOutcome(found.state.value, found.seconds, failed, found.error, str(folder / page.FILE), canceled)

    def latest(self, pipeline: str) -> Finished | None:
        succeeded = stored_runs.succeeded(self._root, pipeline)
        return next((Finished(run.id, run.ended_at) for run in succeeded if run.ended_at), None)

    @property
    def _root(self) -> Path:
        return Path(self.environment.pipeline_root)

    def _checked_out(self) -> "Project":
        if self.project is None:
            raise PipeyardError(f"The environment {self.environment.name!r} is this machine: run it in the repository.")
        return self.project

    def _run_once(
        self,
        project: "Project",
        package: ir.Pipeline,
        pipeline: str,
        parameters: Mapping[str, Any],
        key: str,
        caching: bool | None,
    ) -> LocalRun:
        """Runs it, unless there is a run of the key: that is left alone if it ended or works, else it goes on."""
        given = fit.check(self.environment, pipeline, package.spec.root.input_definitions, parameters)
        folder = self._root / f"{package.name}-{key}"
        begun = (folder / record.FILE).exists()
        if begun:
            before = record.load(folder)
            if before.state.ended or run_lock.works(folder):
                return self._found(folder, before.parameters)
            given = before.parameters
        try:
            return self._run(project, package, given, caching, resumed=folder if begun else None, name=folder.name)
        except runner.BegunError:
            return self._found(folder, given)

    def _run(
        self,
        project: "Project",
        package: ir.Pipeline,
        parameters: Mapping[str, Any],
        caching: bool | None,
        resumed: Path | None,
        name: str = "",
    ) -> LocalRun:
        manner = self.manner
        hosts = manner.hosts or runner.project_hosts(project)
        self._check_startable(package, parameters, None if manner.hosts else hosts)
        run, folder = runner.run(
            package,
            parameters,
            self._root,
            hosts,
            manner.shown or _on_stderr(),
            replace(manner.options, use_cache=caching is not False),
            resumed=resumed,
            commit=runner.commit_of(project.root),
            environment=self.environment.name,
            launchers=manner.launchers,
            name=name,
            objects=self._objects,
        )
        try:
            report.render(folder)
        except OSError as error:
            then = f"Then: pipeyard runs open {run.id} --render"
            raise PipeyardError(
                f"The run {run.id} {run.state}, but its report can't be written: {disk_problem(error)} {then}"
            ) from error
        return self._found(folder, parameters)

    def _check_startable(
        self, package: ir.Pipeline, parameters: Mapping[str, Any], hosts: "Callable[[str], Host] | None"
    ) -> None:
        """Checks that every step can start, and can do with its parameters, before any does.

        Args:
            hosts: gives the host of an image; None: an engine may have any.

        Raises:
            PipeyardError: a parameter that a step needs has no value, an image can't run here, or a program objects to
                its parameters. Steps that only run on a condition are warned of if they can't run here.
        """
        complete = runner.complete_parameters(package, parameters)
        problems = driver.missing(package, [name for name, value in complete.items() if value is not None])
        problems += self._told(cluster_objects.problems(package, self._objects, os.environ))
        if hosts:
            problems += self._told(local_images.problems(package, partial(host_of, hosts)))
            if not problems:  # installing packages takes a while, and may fail as a step would
                ready = partial(python_environments.ready, hosts, (self.manner.shown or _on_stderr()).note)
                problems += self._told(local_images.problems(package, ready))
            if self.manner.ask and not problems:
                problems = program_checks.problems(
                    program_checks.planned(package, complete, hosts),
                    self._root / program_checks.PASSED_FOLDER,
                    self.manner.options.max_parallel,
                    (self.manner.shown or _on_stderr()).note,
                )
        if problems:
            raise PipeyardError(f"The pipeline {package.name!r} can't run: " + "\n".join(problems))

    @property
    def _objects(self) -> ClusterObjects:
        return ClusterObjects(self.environment.secrets, self.environment.config_maps)

    def _told(self, problems: tuple[list[str], list[str]]) -> list[str]:
        """Returns what keeps a run from starting; of steps that run on a condition only, it warns."""
        always, perhaps = problems
        for each in perhaps:
            self.manner.warn(each)
        return always

    def _found(self, folder: Path, parameters: Mapping[str, Any]) -> LocalRun:
        return LocalRun(folder.name, str(folder / page.FILE), parameters, folder)

    def _earlier(self, pipeline: str) -> Path | None:
        """Returns the folder of the run to go on with, if one is meant.

        Raises:
            PipeyardError: the run that is named isn't one of the pipeline, or succeeded.
        """
        if self.manner.again:  # a run whose record can't be read is left alone
            stored = stored_runs.list_runs(self._root, warn=lambda text: None)
            return next((each.folder for each in stored if each.run.pipeline == pipeline), None)
        reference = self.manner.resume
        if not reference:
            return None
        folder = stored_runs.find(self._root, pipeline if reference == LATEST else reference)
        run = record.load(folder)
        if run.pipeline != pipeline:
            raise PipeyardError(f"{folder.name} is a run of {run.pipeline}, not of {pipeline}. Name one of {pipeline}.")
        if run.state == record.State.SUCCEEDED:
            if not (folder / page.FILE).exists():  # killed between its end and its report
                report.render(folder)
            raise PipeyardError(
                f"{folder.name} succeeded, so there is nothing to resume. Leave --resume out to run again."
            )
        return folder


def _on_stderr() -> display.Display:
    return display.choose(verbosity.console())
