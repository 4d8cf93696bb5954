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

from pipeyard import environments
from pipeyard.contracts import kinds
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
            yield from _disagreements(part, argument, inputs.get(argument.value or ""), said)
    given = {each.flag for each in arguments}
    for flag in answer["flags"]:
        if flag["required"] and not given & set(flag["options"]):
            yield Finding(
                part,
                "flags",
                f"the program requires {flag['options'][0]}, which the spec never passes",
                "Pass it in the spec's args, or make it optional.",
            )


def _question(argument: Passed, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if argument.placeholder == "inputValue":
        spec = inputs.get(argument.value or "", {})
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


def _disagreements(
    part: str, argument: Passed, spec: Mapping[str, Any] | None, said: Mapping[str, Any]
) -> Iterator[Finding]:
    flag = argument.flag
    if spec and argument.placeholder.startswith("input"):
        yield from _required(part, flag, spec, said)
        yield from _default(part, flag, spec, said)
    kind = kinds.of(spec) if spec and argument.placeholder == "inputValue" else ""
    yield from _type(part, argument, kind, said)
    if said["bare"]:
        remedy = "Give the input a default"
        if spec:
            remedy += f", or pass the flag under `if: {{cond: {{isPresent: {spec['name']}}}}}`"
        yield Finding(
            part,
            "required",
            f"{flag} stands alone when the optional input has no value, which the program refuses ({said['bare']})"
            if spec
            else f"the spec passes {flag} without a value, which the program refuses ({said['bare']})",
            f"{remedy}." if spec else "Pass a value.",
        )


def _required(part: str, flag: str, spec: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[Finding]:
    optional = bool(spec.get("optional")) or "default" in spec
    if optional and said["required"]:
        yield Finding(
            part,
            "required",
            f"{flag} is required by the program, but the input {spec['name']} is optional",
            "Give the flag the spec's default, or take `default` and `optional` from the input.",
        )
    if not optional and not said["required"]:
        yield Finding(
            part,
            "required",
            f"{flag} is optional in the program (default {said['default'] or 'none'}), but the input {spec['name']} "
            "is required",
            "Write `optional: true` and that default into the spec, or make the flag required.",
        )


def _default(part: str, flag: str, spec: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[Finding]:
    given = said["given"]
    if given is None:
        return
    if "error" in given:
        yield Finding(
            part,
            "defaults",
            f"{flag}: the program refuses the spec's default {given['text']!r} ({given['error']})",
            "Correct the default in the spec.",
        )
    elif said["default"] is not None and not given["same"]:
        yield Finding(
            part,
            "defaults",
            f"{flag}: the default is {given['text']!r} in the spec, {said['default']} in the program",
            "Make them the same.",
        )


def _type(part: str, argument: Passed, kind: str, said: Mapping[str, Any]) -> Iterator[Finding]:
    what = f"the input {argument.value} is {kind}" if argument.placeholder == "inputValue" else "the spec passes"
    for read in said["read"]:
        if "error" in read:
            problem = f"{what}, but the program refuses {read['text']!r} ({read['error']})"
            if argument.placeholder != "inputValue":
                problem = f"the program refuses {read['text']!r}, which is passed ({read['error']})"
        elif not _fits(argument, kind, read):
            problem = f"{what}, but the program reads {read['text']!r} as {read['value']!r} ({read['type']})"
        else:
            continue
        yield Finding(part, "types", f"{argument.flag}: {problem}", "Make the spec's type and the flag's the same.")
        return


def _fits(argument: Passed, kind: str, read: Mapping[str, Any]) -> bool:
    if argument.placeholder == "inputValue":
        try:
            return kinds.fits(kind, read["text"], read["value"])
        except ValueError:  # a choice that isn't of the type
            return False
    return not argument.placeholder or read["value"] == read["text"]


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
        return json.loads(answer.read_text(encoding="utf-8"))


def _module(command: Sequence[str]) -> str:
    is_module = len(command) == 3 and command[0].startswith("python") and command[1] == "-m"
    return command[2] if is_module else ""
