"""Asks components' programs, before anything runs, whether they can do with what they will be given.

A component whose annotation `pipeyard.dev/check` has arguments, as a JSON array, checks its parameters and the
pipeline's module when its program gets these besides, writes nothing, and ends in seconds. It is given what is known
before a run; a flag whose value comes from another task, or that names an output, is left out.

What it then reads outside the run, the module above all, is in the annotation `pipeyard.dev/check-reads`, as URIs with
inputs in braces. That is far less than what the step reads: no data, no registry.
"""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeyard.compiling.passes.traversal import visits
from pipeyard.errors import PipeyardError
from pipeyard.ir import Pipeline, values
from pipeyard.local import external, step_cache
from pipeyard.local.hidden_secrets import HiddenSecrets
from pipeyard.local.launcher import run_logged
from pipeyard.local.placeholders import Resolver
from pipeyard.local.steps import Host, host_of
from pipeyard.settings import nested
from pipeyard.system import logs
from stepkit import digest

# Of a folder that holds a folder a run: what programs have found in order.
PASSED_FOLDER = f"{step_cache.CACHE_FOLDER}/checked"
_SECONDS = 300
_LINES = 20
_EXECUTOR_INPUT = "{{$}}"
_PLACEHOLDER = "{{$"
UNKNOWN = object()
_UNRESOLVED = "\0"  # no argument has it


@dataclass(frozen=True)
class ProgramCheck:
    """One task's program, asked.

    Attributes:
        path: of the task.
        parameters: its inputs that are known, with references to secrets.
        container: of the task's executor.
    """

    path: str
    host: Host
    parameters: Mapping[str, Any]
    container: Mapping[str, Any]

    @property
    def env(self) -> dict[str, str]:
        """Its environment variables."""
        given = {each["name"]: each.get("value", "") for each in self.container.get("env", [])}
        return {**self.host.env, **given}

    @property
    def key(self) -> str:
        """Stands for all that the answer depends on; empty where that can't be known."""
        outside = external.fingerprint(self.host.check_reads, self.parameters)
        if outside is None:
            return ""
        parts = [self.host.source_digest, self.command(self.parameters), self.env, outside]
        return digest.of_text(json.dumps(parts, sort_keys=True))

    def command(self, parameters: Mapping[str, Any]) -> list[str]:
        """Returns the task's command with the arguments that `parameters` give, and those that make it check."""
        resolver = Resolver({"inputs": {"parameterValues": parameters, "artifacts": {}}, "outputs": {}}, {})
        arguments = _known_arguments(self.container.get("args", ()), resolver)
        return [*self.container["command"], *arguments, *self.host.check]


def planned(pipeline: Pipeline, parameters: Mapping[str, Any], hosts: Callable[[str], Host]) -> list[ProgramCheck]:
    """Returns the checks of a run with `parameters`, which are complete."""
    found = []
    for visit in visits(pipeline, parameters, known_input):
        container = pipeline.executors.get(visit.component.executor_label, {}).get("container", {})
        if not container.get("command"):
            continue
        try:
            host = host_of(hosts, container)
        except PipeyardError:  # under a condition: told as a warning, see `local_images`
            continue
        if host.check:
            known = {name: value for name, value in visit.inputs.items() if value is not UNKNOWN and value is not None}
            found.append(ProgramCheck(visit.path, host, known, container))
    return found


def known_input(_name: str, spec: Any, declared: Any, known: Mapping[str, Any]) -> Any:
    """Returns what is known of an input: its value, None if it has none, or `UNKNOWN`."""
    default = values.from_proto(declared.default_value) if declared.HasField("default_value") else None
    kind = spec.WhichOneof("kind") if spec is not None else None
    if kind is None:
        return default
    if spec.parameter_expression_selector:
        return UNKNOWN
    if kind == "component_input_parameter":
        value = known.get(spec.component_input_parameter, UNKNOWN)
        return default if value is None else value
    if kind == "runtime_value":
        value = values.from_proto(spec.runtime_value.constant)
        refers = any(_PLACEHOLDER in text for _, text in nested.texts(value))
        return UNKNOWN if refers else value
    return UNKNOWN


def _known_arguments(parts: Iterable[str], resolver: Resolver) -> list[str]:
    """Returns the arguments whose values are known; of the others, the flag before goes, too."""
    found: list[str] = []
    for part in parts:
        try:
            found += [_UNRESOLVED] if part == _EXECUTOR_INPUT else resolver.command([part])
        except PipeyardError:
            found.append(_UNRESOLVED)
        if found and found[-1] == _UNRESOLVED:
            found.pop()
            if found and found[-1].startswith("--") and "=" not in found[-1]:
                found.pop()
    return found


def problems(checks: Sequence[ProgramCheck], passed: Path, parallel: int, say: Callable[[str], None]) -> list[str]:
    """Asks those programs that haven't said yes to the same before; returns what they object to, by task.

    Args:
        passed: folder that remembers what was in order.
        parallel: programs that are asked at a time.
        say: told that there is something to wait for, and which programs took too long to answer: that is no
            objection, on a machine that is busy.
    """
    waiting: dict[str, ProgramCheck] = {}
    for check in checks:
        key = check.key
        if not key or not (passed / key).exists():
            waiting.setdefault(key or check.path, check)
    if not waiting:
        return []
    say(f"Checking the parameters of {len(waiting)} steps")
    for check in waiting.values():
        check.host.prepare(say)
    with ThreadPoolExecutor(parallel) as pool:
        objections = dict(zip(waiting, pool.map(_ask, waiting.values()), strict=True))
    with contextlib.suppress(OSError):  # of a full disk the run itself tells
        passed.mkdir(parents=True, exist_ok=True)
        for key, objection in objections.items():
            if objection == "" and waiting[key].path != key:
                (passed / key).touch()
    for key in (key for key, objection in objections.items() if objection is None):
        say(f"{waiting[key].path} hasn't said within {_SECONDS} s whether its parameters are right: it runs unchecked")
    return [objection for objection in objections.values() if objection]


def _ask(check: ProgramCheck) -> str | None:
    """Returns what a program objects to: '' nothing; None: it took too long to say."""
    hidden = HiddenSecrets(check.parameters, os.environ)
    with tempfile.TemporaryDirectory(prefix="pipeyard-check-") as folder:
        log = Path(folder) / "log"
        try:
            code = run_logged(check.command(hidden.parameters()), check.env, log, _SECONDS)
        except FileNotFoundError as error:
            raise PipeyardError(f"{check.path}: the program {error} isn't in its component's environment.") from error
        except subprocess.TimeoutExpired:
            return None
        said = logs.tail(log, _LINES, hidden.hide)
    return "" if code == 0 else f"{check.path}: {said or f'its program ended with {code} and said nothing'}"
