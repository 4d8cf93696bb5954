"""Runs one task: looks for its outputs in the cache, else starts its command, and takes its outputs up."""

import contextlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pipeyard.errors import PipeyardError, disk_problem
from pipeyard.ir import Pipeline, values
from pipeyard.local import cluster_objects, external, module_reads, placeholders, step_cache, task_files
from pipeyard.local.cluster_objects import ClusterObjects, StepVariables
from pipeyard.local.hidden_secrets import HiddenSecrets
from pipeyard.local.launcher import Launch, Launcher, find_program
from pipeyard.local.placeholders import Resolver
from pipeyard.local.prestart import Prestart
from pipeyard.local.scheduler import Leaf, TaskOutcome
from pipeyard.local.task_files import TaskFiles
from pipeyard.runs.record import Artifact, Attempt, State, Task
from pipeyard.system import files, logs
from stepkit import digest
from stepkit.cli import canonical

_log = logging.getLogger(__name__)
_LOG_TAIL = 20
# Between attempts; what KFP takes where the pipeline sets none.
_LONGEST_PAUSE_SECONDS = 3600


@dataclass(frozen=True)
class Host:
    """What is known of the processes of one image.

    Attributes:
        component: name of the component.
        source_digest: of all that decides what its steps compute: its source, or the image's digest.
        external_state, external_writes, external_creates: URI templates of what it reads, what it changes and what it
            makes outside the run, see `pipeyard.local.external`.
        cache_ignores: inputs that don't count for the cache: they only label outputs (a run's id, say).
        meanings: output artifact to what it means.
        env: environment variables of its processes, besides those that the pipeline sets.
        digest_now: reckons the source digest again; None: the source can't change.
        prepare: makes the environment, and says so if that takes time; called before the first process.
        prepared: true if there is nothing to prepare.
        preload: what its steps import, see `pipeyard.local.prestart`.
        check: arguments by which its program only checks its parameters, see `pipeyard.local.program_checks`.
        check_reads: URI templates of what it reads outside the run when it does.
        scratch: its processes get a folder of their own for temporary files, as a container would be: they leave some.
        of_container: gives the host of a container of the image, where that depends on its command; raises
            PipeyardError for one that can't run here.
    """

    component: str
    source_digest: str
    env: Mapping[str, str]
    external_state: Sequence[str] = ()
    external_writes: Sequence[str] = ()
    external_creates: Sequence[str] = ()
    cache_ignores: Sequence[str] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Callable[[str], None]], object] = lambda say: None
    prepared: Callable[[], bool] = lambda: True
    preload: Sequence[str] = ()
    check: Sequence[str] = ()
    check_reads: Sequence[str] = ()
    digest_now: Callable[[], str] | None = None
    scratch: bool = False
    of_container: "Callable[[Mapping[str, Any]], Host] | None" = None


def host_of(hosts: Callable[[str], Host], container: Mapping[str, Any]) -> Host:
    """Returns the host of a container.

    Args:
        hosts: gives the host of an image.

    Raises:
        PipeyardError: it can't run here.
    """
    host = hosts(container["image"])
    return host.of_container(container) if host.of_container else host


@dataclass(frozen=True)
class _AttemptEnd:
    """How an attempt of a task ended.

    Attributes:
        state: succeeded, failed or canceled.
        error: why it didn't succeed, for the record.
        code: exit code of its process; None if there was none.
        peak_bytes: of its memory, see `process.Ended`.
        seconds: that it took.
        attempts: all of the task so far, for the record, which has this one's end only if it didn't succeed.
    """

    state: State
    error: str = ""
    code: int | None = None
    peak_bytes: int = 0
    seconds: float = 0.0
    attempts: Sequence[Attempt] = ()


@dataclass(frozen=True)
class _Work:
    """A task that runs a container, and what all of its attempts share.

    Attributes:
        env: the host's environment variables, those that the pipeline sets, and where the step reports.
        hidden: secrets among its parameters.
    """

    leaf: Leaf
    host: Host
    container: Mapping[str, Any]
    files: TaskFiles
    env: Mapping[str, str]
    hidden: HiddenSecrets


class Tracker(Protocol):
    """Keeps the run's record, and shows it."""

    def update(self, path: str, **changes: Any) -> Task:
        """Changes a task's record and returns it; creates it if it is new."""

    def note(self, text: str) -> None:
        """Tells the user what takes time."""

    def earlier(self, path: str) -> Task | None:
        """Returns the task as an earlier try of this run left it, if the run is resumed."""


class StepRunner:
    """The scheduler's executor.

    Args:
        folder: the run's folder.
        launcher: starts processes.
        hosts: gives the host of an image; raises PipeyardError for one that has none.
        slots: how many processes run at once.
        job: values of placeholders such as `pipeline_job_uuid`.
        use_cache: False runs everything, except what a resumed run has done already.
        task_timeout_seconds: for tasks that set no timeout of their own; None: no limit.
        wait: passes time between attempts; returns early when the run is stopped.
        prestart: starts interpreters ahead of their steps; None: none is.
        places: URIs that every step may read, besides what it declares.
        overrun: says why, where the run was stopped because it took too long; '': it wasn't.
        objects: secrets and config maps that tasks take of a cluster.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Path,
        hosts: Callable[[str], Host],
        launcher: Launcher,
        tracker: Tracker,
        store: step_cache.StepCache,
        slots: threading.Semaphore,
        job: Mapping[str, str],
        canceled: Callable[[], bool],
        use_cache: bool = True,
        task_timeout_seconds: float | None = None,
        wait: Callable[[float], object] = time.sleep,
        prestart: Prestart | None = None,
        places: Sequence[str] = (),
        overrun: Callable[[], str] = lambda: "",
        objects: ClusterObjects | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pipeline = pipeline
        self._folder = folder
        self._absolute = str(folder.absolute())
        self._hosts = hosts
        self._launcher = launcher
        self._tracker = tracker
        self._store = store
        self._slots = slots
        self._job = job
        self._canceled = canceled
        self._use_cache = use_cache
        self._task_timeout = task_timeout_seconds
        self._wait = wait
        self._prestart = prestart
        self._places = places
        self._overrun = overrun
        self._objects = objects or ClusterObjects()
        self._now = now
        self._ahead: dict[str, Leaf] = {}
        self._external: list[tuple[Leaf, Host, step_cache.CacheEntry, dict[str, str]]] = []
        self._written: set[str] = set()

    def planned(self, leaf: Leaf) -> None:
        self._ahead[leaf.path] = leaf
        self._tracker.update(leaf.path, **_facts(leaf, self._component_name(leaf)))

    def not_run(self, leaf: Leaf, state: State, reason: str) -> None:
        self._ahead.pop(leaf.path, None)
        if self._prestart:
            self._prestart.drop(leaf.path)
        before = self._tracker.earlier(leaf.path)
        if state == State.CANCELED and before and before.state.has_outputs:
            return  # what it did before the run was resumed still stands
        self._tracker.update(leaf.path, **_facts(leaf, self._component_name(leaf)), state=state, reason=reason)

    def run(self, leaf: Leaf) -> TaskOutcome:
        self._ahead.pop(leaf.path, None)
        executor = self._pipeline.executor(leaf.component)
        try:
            if "importer" in executor:
                return self._import(leaf, executor["importer"])
            return self._run_container(leaf, executor["container"])
        except PipeyardError as error:
            return self._failed(leaf, str(error))
        except OSError as error:
            error.filename = error.filename or str(self._folder)
            return self._failed(leaf, disk_problem(error))
        finally:
            if self._prestart:
                self._prestart.drop(leaf.path)

    def restamp(self) -> None:
        """Stores what touched outside state a second time, under that state as this run's own steps left it.

        A run changes what it reads: evaluation compares with the registry's champion, and deployment then makes a new
        one. Running again on what the run itself left must find everything done. What others changed meanwhile, say a
        data file, still counts as it was when the step read it.
        """
        read = {uri for _, _, _, before in self._external for uri in before}
        after = external.fingerprint(sorted(self._written & read), {}) or {}
        for leaf, host, entry, before in self._external:
            changed = {uri: after.get(uri, content) for uri, content in before.items()}
            if changed != before:
                self._store.put(self._key(leaf, host, changed), entry)

    # -- the parts of a task ------------------------------------------------------------------------------------------

    def _run_container(self, leaf: Leaf, container: Mapping[str, Any]) -> TaskOutcome:
        host = host_of(self._hosts, container)
        fingerprints = external.fingerprint(host.external_state, leaf.parameters)
        known = fingerprints is not None and all(each.digest for each in _flat(leaf.artifacts.values()))
        cache_key = self._key(leaf, host, fingerprints) if known and fingerprints is not None else ""
        facts = {
            **_facts(leaf, host.component),
            "image": container["image"],
            "source_digest": host.source_digest,
            "cache_key": cache_key,
            "parameters": dict(leaf.parameters),
            "input_artifacts": {key: value for key, value in leaf.artifacts.items() if isinstance(value, Artifact)},
        }
        _log.debug("%s: cache key %s", leaf.path, cache_key or "none, as what it reads outside the run has no checksum")
        place = TaskFiles(self._folder, leaf)
        env = _environment(place, host, container)
        entry, state, reason, ended = self._known_outputs(leaf, cache_key, facts, place, env)
        ran: dict[str, Any] = {}
        if not entry:
            host.prepare(self._tracker.note)
            hidden = HiddenSecrets(leaf.parameters, os.environ, self._cluster_variables(leaf).told)
            work = _Work(leaf, host, container, place, env, hidden)
            end = self._attempts(work)
            if end.state == State.CANCELED:
                return self._canceled_outcome(leaf)
            if end.state == State.FAILED:
                return self._failed(leaf, end.error)
            ran = {"attempts": end.attempts}
            try:
                entry, unknown = self._taken(work, cache_key, end.seconds)
            except (PipeyardError, OSError):
                self._tracker.update(leaf.path, **ran)
                raise
            state = State.SUCCEEDED
            if unknown:
                cache_key, reason = "", unknown
                ran["cache_key"] = ""
        else:
            module_reads.save(place.folder, entry.reads)
        if cache_key and fingerprints:
            self._external.append((leaf, host, entry, fingerprints))
        if state == State.SUCCEEDED:
            written = [*host.external_writes, *host.external_creates]
            self._written.update(external.expand(written, leaf.parameters))
        self._tracker.update(
            leaf.path,
            **ran,
            state=state,
            reason=reason,
            ended_at=ended or self._now(),
            output_parameters=entry.parameters,
            output_artifacts=entry.artifacts,
            cached_from=entry.run if state == State.CACHED else "",
        )
        return TaskOutcome(state, entry.parameters, entry.artifacts)

    def _taken(self, work: _Work, cache_key: str, seconds: float) -> tuple[step_cache.CacheEntry, str]:
        """Takes up what a task that took so long has left, into the cache, too; returns it, and why it isn't cached."""
        entry = self._take_outputs(work)
        reads, unknown = self._module_reads(work)
        entry.reads = dict(reads)
        if work.host.digest_now and work.host.digest_now() != work.host.source_digest:
            unknown = "not cached: its source changed while it ran"
        if cache_key and not unknown:
            self._store.put(cache_key, entry, seconds)
        module_reads.save(work.files.folder, reads)
        return entry, unknown

    def _known_outputs(
        self, leaf: Leaf, cache_key: str, facts: Mapping[str, Any], place: TaskFiles, env: Mapping[str, str]
    ) -> tuple[step_cache.CacheEntry | None, State, str, datetime | None]:
        """Returns outputs that are there already, of this run before it was resumed (and when) or of another.

        Records `facts`, and when looking began; where there are no outputs the task waits after that.
        """
        anew: dict[str, Any] = {
            **facts,
            "started_at": None,
            "ended_at": None,
            "state": State.PENDING,
            "output_parameters": {},
            "output_artifacts": {},
        }
        if not cache_key:
            self._tracker.update(leaf.path, **anew)
            return None, State.SUCCEEDED, "not cached: what it reads outside the run has no checksum", None
        before = self._tracker.earlier(leaf.path)
        same = before and before.state.has_outputs and before.cache_key == cache_key
        reads = module_reads.load(place.folder) if same else None
        unchanged = reads is not None and not module_reads.changed(reads, env)
        if (
            before
            and same
            and unchanged
            and all(step_cache.intact(artifact) for artifact in before.output_artifacts.values())
        ):
            self._tracker.update(leaf.path, **facts, started_at=before.started_at, attempts=before.attempts)
            entry = step_cache.CacheEntry(
                run=before.cached_from or self._folder.name,
                task=leaf.path,
                parameters=before.output_parameters,
                artifacts=before.output_artifacts,
                reads=reads or {},
            )
            return entry, before.state, "kept from before the run was resumed", before.ended_at
        reason = ""
        if self._use_cache and leaf.task.caching_options.enable_cache:
            began = self._now()
            known = self._store.get(cache_key)
            changed = module_reads.changed(known.reads, env) if known else []
            if known and not changed:
                self._tracker.update(leaf.path, **{**anew, "started_at": began})
                return known, State.CACHED, "", None
            reason = f"what its module reads changed: {', '.join(changed)}" if changed else ""
        self._tracker.update(leaf.path, **anew)
        return None, State.SUCCEEDED, reason, None

    def _attempts(self, work: _Work) -> _AttemptEnd:
        """Runs the command until it succeeds or its retries are used up, and returns how the last attempt ended."""
        leaf = work.leaf
        retries = leaf.task.retry_policy
        before = self._tracker.earlier(leaf.path)
        attempts = list(before.attempts) if before else []
        end = _AttemptEnd(State.CANCELED)
        for number in range(retries.max_retry_count + 1):
            if number:
                factor = retries.backoff_factor or 2.0
                pause = retries.backoff_duration.seconds * factor ** (number - 1)
                limit = retries.backoff_max_duration.seconds
                self._wait(min(pause, limit or _LONGEST_PAUSE_SECONDS))
            ready = self._now()
            with self._slots:
                if self._canceled():
                    return _AttemptEnd(State.CANCELED)
                log = f"{work.files.log_folder}/attempt-{len(attempts) + 1}.log"
                began = self._now()
                waited = (began - ready).total_seconds() if number else 0.0
                attempt = Attempt(number=len(attempts) + 1, log=log, started_at=began, waited_seconds=waited)
                attempts.append(attempt)
                begins = {} if number else {"state": State.RUNNING, "started_at": began}
                self._tracker.update(leaf.path, **begins, attempts=list(attempts))
                end = self._attempt(work, len(attempts), self._folder / log)
            told = {"error": end.error, "exit_code": end.code, "peak_memory_bytes": end.peak_bytes}
            ended = self._now()
            attempts[-1] = attempt.model_copy(update={"ended_at": ended, **told})
            end = replace(end, seconds=(ended - began).total_seconds(), attempts=list(attempts))
            if end.state == State.SUCCEEDED:
                break  # recorded with its outputs
            self._tracker.update(leaf.path, attempts=list(attempts))
            if end.state == State.CANCELED or end.error == self._overrun():
                break
        return end

    def _attempt(self, work: _Work, number: int, log: Path) -> _AttemptEnd:
        leaf, host, container, hidden = work.leaf, work.host, work.container, work.hidden
        executor_input = work.files.executor_input
        work.files.clear()
        with_secrets = {**executor_input["inputs"], "parameterValues": hidden.parameters()}
        resolver = Resolver(
            {**executor_input, "inputs": with_secrets}, placeholders.of_task(self._job, leaf.name, leaf.path)
        )
        if not container.get("command"):
            raise PipeyardError(
                f"the component {host.component!r} has no `command`: KFP would run nothing. Add one to its spec."
            )
        launch = Launch(
            task=leaf.path,
            number=number,
            component=host.component,
            image=container["image"],
            command=resolver.command([*container["command"], *container.get("args", [])]),
            env={**work.env, **hidden.variables()},
            log=log,
            outputs=work.files.outputs,
            reads=[
                *(artifact.uri for artifact in _flat(leaf.artifacts.values())),
                *external.expand(host.external_state, leaf.parameters),
                *self._places,
            ],
            writes=external.expand(host.external_writes, leaf.parameters),
            creates=external.expand(host.external_creates, leaf.parameters),
            resources={
                name: resolver.text(str(value))
                for name, value in container.get("resources", {}).items()
                if name.lower().endswith("limit")
            },
        )
        timeout = self._pipeline.timeouts.get(leaf.component.executor_label) or self._task_timeout
        try:
            with _scratch(host) as own:
                launch = replace(launch, env={**launch.env, **own}) if own else launch
                ended = self._launcher.run(launch, self._canceled, timeout, lambda: self._start_next(leaf))
        finally:
            hidden.hide_in(log)
        if ended.canceled:
            overrun = self._overrun()
            state = State.FAILED if overrun else State.CANCELED
            return _AttemptEnd(state, overrun or ended.stopped, ended.code, ended.peak_bytes)
        if ended.code != 0 or ended.stopped:
            said = logs.tail(log, _LOG_TAIL)
            last = said.splitlines()[-1] if said else "it said nothing"
            more = f"\n\nThe end of its log:\n{said}" if "\n" in said else ""
            lacking = files.without_room(log.parent)
            full = f" (the disk of {self._folder} has no {lacking} left: make room there)" if lacking else ""
            return _AttemptEnd(State.FAILED, f"{ended.text}: {last}{full}{more}", ended.code, ended.peak_bytes)
        work.files.settle()
        missing = work.files.unwritten()
        if missing:
            problem = f"it ended well but did not write its outputs {', '.join(missing)}"
            return _AttemptEnd(State.FAILED, problem, 0, ended.peak_bytes)
        return _AttemptEnd(State.SUCCEEDED, code=0, peak_bytes=ended.peak_bytes)

    def _start_next(self, leaf: Leaf) -> None:
        """Starts the interpreter of the task that runs once `leaf`, which does now, has ended.

        What waits for a task that runs will most likely run too: its inputs are new. Whether a condition will hold
        isn't known; it mostly does.
        """
        if not self._prestart:
            return
        ahead = [each for each in list(self._ahead.values()) if leaf.path in each.upstream]
        following = next((each for each in ahead if each.upstream.isdisjoint(self._ahead)), None)
        container = self._pipeline.executor(following.component).get("container") if following else None
        if not following or not container:
            return
        try:
            host = host_of(self._hosts, container)
            if not host.preload or not host.prepared():
                return
            env = _environment(TaskFiles(self._folder, following), host, container)
            command = find_program(container.get("command", ()), env)
        except (PipeyardError, OSError, IndexError):
            return  # the task itself will say what is wrong
        self._prestart.begin(following.path, command, env, host.preload)

    def _take_outputs(self, work: _Work) -> step_cache.CacheEntry:
        """Reads the outputs that a successful attempt left.

        Raises:
            PipeyardError: a parameter isn't of its declared type.
        """
        leaf, hidden = work.leaf, work.hidden
        told = hidden.hide(work.files.told())
        definitions = leaf.component.output_definitions
        parameters = {}
        for name, definition in definitions.parameters.items():
            path = work.files.parameters[name]
            hidden.hide_in(path)
            kind, what = definition.parameter_type, f"the output {name!r}"
            if name in told["parameterValues"]:  # it comes before the file, as to KFP's launcher
                parameters[name] = values.coerce(told["parameterValues"][name], kind, what)
                continue
            if not path.is_file():  # to open a pipe would wait for ever
                raise PipeyardError(f"{what} is no file. Write its value into a file, at the path that is given.")
            try:
                text = path.read_bytes().decode()  # not as lines: `\r\n` stays what it is
            except UnicodeDecodeError as error:
                raise PipeyardError(f"{what} isn't UTF-8 text ({error}).") from error
            parameters[name] = values.written(text, kind, what)
        artifacts = {}
        for name, definition in definitions.artifacts.items():
            uri = work.files.uri(name)
            local = external.local_path(uri)
            artifacts[name] = Artifact(
                name=name,
                type=definition.artifact_type.schema_title,
                meaning=work.host.meanings.get(name, ""),
                uri=uri,
                digest=digest.of_tree(Path(local[0])) if local else _remote_digest(uri),
                bytes=_size(Path(local[0])) if local else 0,
                metadata=task_files.said_of(told, name).get("metadata", {}),
            )
        return step_cache.CacheEntry(run=self._folder.name, task=leaf.path, parameters=parameters, artifacts=artifacts)

    def _import(self, leaf: Leaf, importer: Mapping[str, Any]) -> TaskOutcome:
        """Runs a `dsl.importer`: its artifact is somewhere already."""
        self._tracker.update(leaf.path, name=leaf.name, component="importer", started_at=self._now())
        uri = importer["artifactUri"].get("constant") or leaf.parameters.get(
            importer["artifactUri"].get("runtimeParameter", "uri"), ""
        )
        found = external.fingerprint(["{uri}"], {"uri": uri})
        if found and external.ABSENT in found.values():
            raise PipeyardError(f"nothing is at {uri!r}, which it imports. Check the URI.")
        ((name, definition),) = leaf.component.output_definitions.artifacts.items()
        artifact = Artifact(
            name=name,
            type=definition.artifact_type.schema_title,
            uri=uri,
            digest=next(iter(found.values())) if found else "",
            metadata=self._imported_metadata(leaf, importer.get("metadata", {})),
        )
        self._tracker.update(
            leaf.path,
            state=State.SUCCEEDED,
            ended_at=self._now(),
            upstream=sorted(leaf.upstream),
            output_artifacts={name: artifact},
        )
        return TaskOutcome(State.SUCCEEDED, {}, {name: artifact})

    def _imported_metadata(self, leaf: Leaf, written: Mapping[str, Any]) -> dict[str, Any]:
        """Returns an importer's metadata with the parameters that it refers to in place."""
        told = placeholders.of_task(self._job, leaf.name, leaf.path)
        return {
            placeholders.constant(str(key), leaf.parameters, told): placeholders.constant(value, leaf.parameters, told)
            for key, value in canonical(dict(written)).items()
        }

    def _failed(self, leaf: Leaf, error: str) -> TaskOutcome:
        self._tracker.update(leaf.path, state=State.FAILED, reason=error, ended_at=self._now())
        return TaskOutcome(State.FAILED, error=f"{leaf.path}: {error}", failed_task=leaf.name)

    def _canceled_outcome(self, leaf: Leaf) -> TaskOutcome:
        self._tracker.update(leaf.path, state=State.CANCELED, reason="the run was stopped", ended_at=self._now())
        return TaskOutcome(State.CANCELED)

    # -- where things are ---------------------------------------------------------------------------------------------

    def _component_name(self, leaf: Leaf) -> str:
        if not leaf.component.executor_label:
            return ""  # a group
        executor = self._pipeline.executor(leaf.component)
        if "importer" in executor:
            return "importer"
        try:
            return host_of(self._hosts, executor["container"]).component
        except PipeyardError:
            return executor["container"]["image"]

    def _key(self, leaf: Leaf, host: Host, fingerprints: Mapping[str, str]) -> str:
        container = self._pipeline.executor(leaf.component)["container"]
        counted = {name: value for name, value in leaf.parameters.items() if name not in host.cache_ignores}
        return step_cache.key(
            [*container.get("command", []), *container.get("args", [])],
            {
                **{each["name"]: each.get("value", "") for each in container.get("env", [])},
                **self._cluster_variables(leaf).written,
            },
            host.source_digest,
            counted,
            leaf.artifacts,
            fingerprints,
        )

    def _cluster_variables(self, leaf: Leaf) -> StepVariables:
        settings = self._pipeline.kubernetes.get(leaf.component.executor_label)
        if not settings:
            return StepVariables({}, {})
        told = placeholders.of_task(self._job, leaf.name, leaf.path)
        return cluster_objects.variables(settings, self._objects, told, os.environ)

    def _module_reads(self, work: _Work) -> tuple[module_reads.ModuleReads, str]:
        """Returns what the module of a task that has ended read; and why that can't be known."""
        inputs = [artifact.uri for artifact in _flat(work.leaf.artifacts.values())]
        return module_reads.taken(work.files.module_reads, work.env, [self._absolute, *inputs])


def _environment(place: TaskFiles, host: Host, container: Mapping[str, Any]) -> dict[str, str]:
    """Returns a task's environment variables: the host's, those that the pipeline sets, and where it reports."""
    given = {each["name"]: each.get("value", "") for each in container.get("env", [])}
    return {**host.env, **given, module_reads.REPORT: str(place.module_reads.absolute())}


def _remote_digest(uri: str) -> str:
    """Returns a digest of what a step has put into a store; '' if that tells no checksum."""
    return next(iter((external.fingerprint([uri], {}) or {}).values()), "")


@contextlib.contextmanager
def _scratch(host: Host) -> Iterator[dict[str, str]]:
    """Gives the variable of a folder for temporary files, where a host's processes get one of their own."""
    if not host.scratch:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="pipeyard-step-", ignore_cleanup_errors=True) as folder:
        yield {"TMPDIR": folder}


def _facts(leaf: Leaf, component: str) -> dict[str, Any]:
    """Returns what a task's record has of it whether or not it runs."""
    return {
        "name": leaf.name,
        "component": component,
        "condition": leaf.condition,
        "upstream": sorted(leaf.upstream),
    }


def _flat(values_of_artifacts: Iterable[Any]) -> list[Artifact]:
    return [each for value in values_of_artifacts for each in (value if isinstance(value, list) else [value])]


def _size(path: Path) -> int:
    every = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sum(file.stat().st_size for file in every)
