"""What a spec says of one flag against what the program said of it, see `probe`."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeyard.checks import kinds
from pipeyard.checks.arguments import Passed
from pipeyard.findings import Finding

# A probe's answer for one flag that exists.
Said = Mapping[str, Any]


def findings(part: str, argument: Passed, spec: Mapping[str, Any] | None, said: Said) -> Iterator[Finding]:
    """Yields where they disagree: on what is required, on the default, on the type.

    Args:
        part: what findings call the component.
        argument: the flag, as the spec passes it.
        spec: the declaration of the input that it passes; None if it passes something else.
        said: what the program said of the flag.
    """
    if spec:
        yield from _required(part, argument.flag, spec, said)
        yield from _default(part, argument.flag, said)
    yield from _alone(part, argument.flag, spec, said)
    yield from _type(part, argument, spec, said)


def _required(part: str, flag: str, spec: Mapping[str, Any], said: Said) -> Iterator[Finding]:
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


def _default(part: str, flag: str, said: Said) -> Iterator[Finding]:
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


def _alone(part: str, flag: str, spec: Mapping[str, Any] | None, said: Said) -> Iterator[Finding]:
    if not said["bare"]:
        return
    if spec is None:
        problem = f"the spec passes {flag} without a value, which the program refuses ({said['bare']})"
        yield Finding(part, "required", problem, "Pass a value.")
        return
    yield Finding(
        part,
        "required",
        f"{flag} stands alone when the optional input has no value, which the program refuses ({said['bare']})",
        f"Give the input a default, or pass the flag under `if: {{cond: {{isPresent: {spec['name']}}}}}`.",
    )


def _type(part: str, argument: Passed, spec: Mapping[str, Any] | None, said: Said) -> Iterator[Finding]:
    """Yields the first text that the program reads otherwise than it is meant."""
    kind = kinds.of(spec) if spec and argument.placeholder == "inputValue" else ""
    what = f"the input {argument.value} is {kind}, but " if kind else ""
    for read in said["read"]:
        if "error" in read:
            problem = f"the program refuses {read['text']!r} ({read['error']})"
        elif not _fits(argument, kind, read):
            problem = f"the program reads {read['text']!r} as {read['value']!r} ({read['type']})"
        else:
            continue
        remedy = "Make the spec's type and the flag's the same."
        yield Finding(part, "types", f"{argument.flag}: {what}{problem}", remedy)
        return


def _fits(argument: Passed, kind: str, read: Mapping[str, Any]) -> bool:
    if not argument.placeholder:  # a constant: the program alone knows what it means
        return True
    if not kind:  # a path
        return read["value"] == read["text"]
    try:
        return kinds.fits(kind, read["text"], read["value"])
    except ValueError:  # a choice that isn't of the type
        return False
