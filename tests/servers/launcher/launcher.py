"""The launcher: inputs down, the command, outputs up, and what ML Metadata is told."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import driver, parsing
from .driver import Pod, Task
from .records import COMPLETE, FAILED, Artifact, Execution, Records
from .storage import Store, local_path

# A parameter of 75 KB ran and one of 96 KB didn't. All of the executor input, escaped as JSON, is one argument, and
# Linux takes none of 128 KiB (MAX_ARG_STRLEN).
PARAMETER_BYTES = 96_000
ARGUMENT_BYTES = 128 << 10
LOGS = "executor-logs"


@dataclass(frozen=True)
class Launch:
    """One attempt of a task.

    Attributes:
        execution: its number in ML Metadata, where the driver has recorded it.
        env: environment variables of the command.
    """

    task: Task
    pod: Pod
    execution: int
    env: Mapping[str, str]

    @property
    def log(self) -> Path:
        return self.pod.root / "var/log/main.log"


def launch(attempt: Launch, store: Store, records: Records) -> Execution:
    """Runs an attempt. Whatever goes wrong is published as FAILED, without outputs, and stands in the log."""
    attempt.log.parent.mkdir(parents=True, exist_ok=True)
    attempt.log.touch()
    try:
        given = _prepare(attempt, store)
        _execute(attempt, driver.argv(attempt.task, attempt.pod, given), given)
        output = _executor_output(attempt.pod)
        parameters = _parameters(attempt, given, output)
        artifacts = _artifacts(attempt, given, output, store)
    except (parsing.Refused, OSError, ValueError, subprocess.CalledProcessError) as error:
        _say(attempt, f"failed to execute component: {error}")
        _upload_log(attempt, store)
        return records.publish(attempt.execution, FAILED)
    _upload_log(attempt, store)
    return records.publish(attempt.execution, COMPLETE, parameters, artifacts)


def _prepare(attempt: Launch, store: Store) -> dict[str, Any]:
    """Downloads inputs and makes the outputs' parent folders; nothing else is made, and nothing cleared."""
    given = driver.executor_input(attempt.task, attempt.pod)
    root = attempt.pod.root
    for artifact in attempt.task.artifacts.values():
        store.download(artifact.uri, local_path(root, artifact.uri))
    for each in given["outputs"]["parameters"].values():
        Path(each["outputFile"]).parent.mkdir(parents=True, exist_ok=True)
    for listed in given["outputs"]["artifacts"].values():
        local_path(root, listed["artifacts"][0]["uri"]).parent.mkdir(parents=True, exist_ok=True)
    return given


def _execute(attempt: Launch, command: list[str], given: Mapping[str, Any]) -> None:
    for name, value in given["inputs"]["parameterValues"].items():
        if len(driver.text(value).encode()) >= PARAMETER_BYTES:
            raise OSError(f"argument list too long: the parameter {name!r}")
    if any(len(part.encode()) >= ARGUMENT_BYTES for part in [*command, driver.as_argument(given, attempt.task)]):
        raise OSError("argument list too long: the executor input")
    program = shutil.which(command[0], path=attempt.env.get("PATH"))
    if not program:
        raise FileNotFoundError(f'exec: "{command[0]}": executable file not found in $PATH')
    work = attempt.pod.root / "work"
    work.mkdir(exist_ok=True)
    with attempt.log.open("ab") as log:
        subprocess.run(
            [program, *command[1:]], env=dict(attempt.env), cwd=work, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            check=True,
        )  # fmt: skip


def _executor_output(pod: Pod) -> dict[str, Any]:
    if not pod.output_file.exists():
        return {}
    return parsing.executor_output(pod.output_file.read_text(encoding="utf-8"))


def _parameters(attempt: Launch, given: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
    declared = attempt.task.component.get("outputDefinitions", {}).get("parameters", {})
    found = dict(output.get("parameterValues", {}))
    for name, each in given["outputs"]["parameters"].items():
        if name in found:
            continue
        kind = declared[name]["parameterType"]
        try:
            text = Path(each["outputFile"]).read_text(encoding="utf-8")
            found[name] = parsing.parameter(text, kind)
        except (parsing.Refused, OSError, ValueError) as error:
            raise parsing.Refused(f'failed to read output parameter name="{name}" type="{kind}": {error}') from error
    return found


def _artifacts(
    attempt: Launch, given: Mapping[str, Any], output: Mapping[str, Any], store: Store
) -> dict[str, Artifact]:
    told = output.get("artifacts", {})
    found = {}
    for name, listed in given["outputs"]["artifacts"].items():
        declared = listed["artifacts"][0]
        (said, *_) = [*told.get(name, {}).get("artifacts", []), {}]
        uri = said.get("uri") or declared["uri"]
        try:
            store.upload(local_path(attempt.pod.root, uri), uri)
        except FileNotFoundError as error:
            _say(attempt, f'warning: Local filepath "{error}" does not exist')
        found[name] = Artifact(name, declared["type"]["schemaTitle"], uri, said.get("metadata", {}))
    return found


def _upload_log(attempt: Launch, store: Store) -> None:
    store.upload(attempt.log, f"{attempt.task.output_root}/{LOGS}")


def _say(attempt: Launch, line: str) -> None:
    with attempt.log.open("a", encoding="utf-8") as log:
        print(line, file=log)


def described(attempt: Launch) -> str:
    """Returns an attempt as JSON, for a launcher that is a process of its own."""
    task = attempt.task
    return json.dumps(
        {
            "task": {
                "name": task.name,
                "component": task.component,
                "container": task.container,
                "output_root": task.output_root,
                "parameters": task.parameters,
                "artifacts": {name: vars(each) for name, each in task.artifacts.items()},
            },
            "root": str(attempt.pod.root),
            "execution": attempt.execution,
            "env": dict(attempt.env),
        }
    )


def read(text: str) -> Launch:
    """Returns the attempt that `described` wrote."""
    stored = json.loads(text)
    task = stored.pop("task")
    artifacts = {name: Artifact(**each) for name, each in task.pop("artifacts").items()}
    return Launch(Task(**task, artifacts=artifacts), Pod(Path(stored.pop("root"))), stored["execution"], stored["env"])
