"""A spec against its program: the flags, whether they are required, their types and defaults.

The program is asked itself, in the component's own environment (see `probe`); the toolchain imports nothing of it.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pipeyard import environments, jsons
from pipeyard.contracts import agreement, kinds
from pipeyard.contracts.arguments import Passed, passed
from pipeyard.contracts.finding import Finding
from pipeyard.errors import PipeyardError, near_misses
from pipeyard.project import Component

_TIMEOUT_SECONDS = 120
_TAIL_LINES = 5


def findings(component: Component, part: str) -> Iterator[Finding]:
    """Yields where spec and program disagree. The component's environment must be there.

    Args:
        part: what findings call the component.

    Raises:
        PipeyardError: the program ended, or went on for too long, without parsing arguments by argparse.
    """
    container = component.spec["implementation"]["container"]
    arguments = [each for each in passed(container) if each.flag]
    inputs = {each["name"]: each for each in component.spec.get("inputs") or []}
    answer = _ask(component, {each.flag: _question(each, inputs) for each in arguments})
    known = [option for flag in answer["flags"] for option in flag["options"]]
    for argument in arguments:
        said = answer["asked"][argument.flag]
        if not said["exists"]:
            yield Finding(
                part,
                "flags",
                f"the spec passes {argument.flag}, which the program doesn't have",
                f"Call it alike in both. {near_misses(argument.flag, known)}",
            )
        else:
            yield from agreement.findings(part, argument, _input_of(argument, inputs), said)
    given = {each.flag for each in arguments}
    for flag in answer["flags"]:
        if flag["required"] and not given & set(flag["options"]):
            yield Finding(
                part,
                "flags",
                f"the program requires {flag['options'][0]}, which the spec never passes",
                "Pass it in the spec's args, or make it optional.",
            )


def _input_of(argument: Passed, inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return inputs.get(argument.value or "") if argument.placeholder.startswith("input") else None


def _question(argument: Passed, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if argument.placeholder == "inputValue":
        spec = _input_of(argument, inputs) or {}
        default = spec.get("default")
        return {
            "samples": kinds.samples(kinds.of(spec)),
            "default": None if default is None else str(default),
            "bare": _may_lack_its_value(argument, spec),
        }
    sample = kinds.PATH_SAMPLE if argument.placeholder else argument.value
    return {"samples": [] if sample is None else [sample], "default": None, "bare": sample is None}


def _may_lack_its_value(argument: Passed, spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("optional")) and "default" not in spec and argument.value not in argument.guards


def _ask(component: Component, question: Mapping[str, Any]) -> dict[str, Any]:
    command = component.spec["implementation"]["container"].get("command") or []
    module = _module(command)
    if not module:
        raise PipeyardError(
            f"its command {command} can't be asked for its flags. Write [python, -m, {component.name}]."
        )
    python = environments.folder_of(component.folder) / "bin" / "python"
    probe = resources.files("pipeyard.contracts").joinpath("probe.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="pipeyard-") as scratch:
        request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        request.write_text(json.dumps(question), encoding="utf-8")
        try:
            done = subprocess.run(
                [str(python), "-c", probe, module, str(request), str(answer)],
                cwd=scratch,
                env=environments.variables(component, os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise PipeyardError(
                f"its program did not parse its arguments within {_TIMEOUT_SECONDS} s. Parse them first, by argparse."
            ) from error
        if not answer.is_file():
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:])
            raise PipeyardError(
                f"its program ended with code {done.returncode} before it parsed arguments by argparse, so its flags "
                f"aren't known. It said: {said or 'nothing'}"
            )
        return jsons.read(answer)


def _module(command: Sequence[str]) -> str:
    is_module = len(command) == 3 and command[0].startswith("python") and command[1] == "-m"
    return command[2] if is_module else ""
