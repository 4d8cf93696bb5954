"""Two versions of an interface compared: what breaks who uses the old one, what behaves otherwise, what harms nobody.

    breaking      what compiled, ran or was understood with the old version may not be with the new one
    behaviour     the same pipeline compiles and runs, and may give something else
    compatible    nobody who uses the old version notices

When in doubt the heavier counts: a change that nothing here knows is behaviour.
"""

from __future__ import annotations

import enum
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeyard_components.errors import PipeyardError
from pipeyard_components.interfaces import PREFIX, VALUES, VERSION, Interface, Port
from pipeyard_components.semantic_versions import SemanticVersion, Step

Json = Any


class Severity(enum.IntEnum):
    """What a change does to who uses the old version."""

    COMPATIBLE = 0
    BEHAVIOUR = 1
    BREAKING = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        kind: which, for machines: `input-removed`, `default`, ...
        subject: what it is about: `input epochs`.
        text: what was and what is, as a clause without a full stop.
    """

    kind: str
    severity: Severity
    subject: str
    text: str

    @property
    def step(self) -> Step:
        """How far the version has to go for it, at least."""
        if self.severity == Severity.BREAKING:
            return Step.MAJOR
        if self.kind == "image":  # as with any program: what it does better is a patch, unless its author says more
            return Step.PATCH
        return Step.MINOR if self.severity == Severity.BEHAVIOUR or self.kind in _MORE else Step.PATCH

    def __str__(self) -> str:
        return f"{self.severity}: {self.subject} {self.text}"


# Nothing that was there is another; something is there that wasn't.
_MORE = frozenset(("input-added", "output-added", "input-optional", "domain-wider", "type-wider"))
# Annotations that tell the toolchain how to start and check a step, which gives the same whatever they say.
_HOW_TO_START = frozenset(PREFIX + key for key in ("preload", "check", "check-reads", "check-task", "review-schema"))
# What they say is for people.
_FOR_PEOPLE = frozenset(("author", "canonical_location", "documentation", "sdk", "license", "homepage"))
_UNITS = {
    "time": "ms millisecond second minute hour day week",
    "size": "byte kb mb gb kib mib gib tib",
    "share": "percent fraction permille",
    "temperature": "celsius fahrenheit kelvin",
    "distance": "metre meter kilometre kilometer mile feet",
}
_DIMENSION = {unit: dimension for dimension, units in _UNITS.items() for unit in units.split()}


@dataclass(frozen=True)
class Comparison:
    """Two versions and what changed, the gravest first."""

    old: Interface
    new: Interface
    changes: tuple[Change, ...]

    @property
    def severity(self) -> Severity:
        """The gravest change's."""
        return max((each.severity for each in self.changes), default=Severity.COMPATIBLE)

    @property
    def step(self) -> Step:
        """How far the version has to go, at least."""
        return max((each.step for each in self.changes), default=Step.NONE)

    @cached_property
    def problem(self) -> str:
        """Why the new version's number won't do; '' if it does.

        Raises:
            PipeyardError: a version isn't semantic.
        """
        if self.step == Step.NONE or not self.new.versioned:
            return ""
        if not self.new.version:
            return f"it declares no version. Write {VERSION} into its annotations" if self._demands_one else ""
        now = _version(self.new)
        if not self.old.version:
            return ""
        before = _version(self.old)
        least = before.least_after(self.step)
        if now < least:
            return f"its version is {now}, after {before}. Such changes take {least} at least"
        return ""

    @property
    def _demands_one(self) -> bool:
        return bool(self.old.version) or self.severity == Severity.BREAKING

    @property
    def refused(self) -> bool:
        """True if something breaks and the version doesn't say so."""
        return self.severity == Severity.BREAKING and bool(self.problem)

    def as_json(self) -> dict[str, Json]:
        """Returns all of it for machines."""
        return {
            "severity": str(self.severity),
            "step": self.step.name.lower(),
            "version": {"before": self.old.version or None, "now": self.new.version or None},
            "problem": self.problem or None,
            "refused": self.refused,
            "changes": [
                {"kind": each.kind, "severity": str(each.severity), "subject": each.subject, "text": each.text}
                for each in self.changes
            ],
        }


def compare(old: Interface, new: Interface, images: bool = True) -> Comparison:
    """Compares two versions.

    Args:
        images: False: which images they name isn't told, as of specifications before and after a build.
    """
    found = [
        *_ports(old, new, "input"),
        *_ports(old, new, "output"),
        *_users(old, new),
        *_programs(old, new),
        *(_images(old, new) if images else ()),
        *_annotations(old, new),
        *_about(old, new),
    ]
    if old.wiring != new.wiring:
        found.append(Change("wiring", Severity.BEHAVIOUR, "steps", "are connected or set up otherwise"))
    return Comparison(old, new, tuple(sorted(found, key=lambda each: -each.severity)))


def _version(interface: Interface) -> SemanticVersion:
    try:
        return SemanticVersion.parse(interface.version)
    except PipeyardError as error:
        raise PipeyardError(f"{interface.name}: {VERSION}: {error}") from error


def _ports(old: Interface, new: Interface, side: str) -> Iterator[Change]:
    before, now = (each.inputs if side == "input" else each.outputs for each in (old, new))
    added = {name: port for name, port in now.items() if name not in before}
    for name, port in before.items():
        subject = f"{side} {name}"
        if name not in now:
            heir = next((other for other, each in added.items() if _alike(port, each)), "")
            hint = f"; {heir!r}, which is new, may be it" if heir else ""
            yield Change(f"{side}-removed", Severity.BREAKING, subject, f"is gone{hint}")
            continue
        yield from _retyped(port, now[name], side)
        yield from _given(port, now[name], subject)
        yield from _meaning(port, now[name], subject)
        yield from _described(port.description, now[name].description, subject, side)
        yield from _narrowed(port.domain, now[name].domain, subject, side)
        if port.other != now[name].other:
            yield Change("annotation", Severity.BEHAVIOUR, subject, "has other annotations")
    for name, port in added.items():
        if port.required:
            yield Change("input-required", Severity.BREAKING, f"input {name}", "is new, and has to be given")
        else:
            yield Change(f"{side}-added", Severity.COMPATIBLE, f"{side} {name}", "is new")


def _alike(one: Port, other: Port) -> bool:
    same = (one.type, one.default, one.required) == (other.type, other.default, other.required)
    return same and bool(one.description) and one.description == other.description


def _retyped(old: Port, new: Port, side: str) -> Iterator[Change]:
    if old.type == new.type:
        return
    wider = side == "input" and new.type == "Artifact" and old.type not in VALUES and not new.meaning
    yield Change(
        "type-wider" if wider else "type",
        Severity.COMPATIBLE if wider else Severity.BREAKING,
        f"{side} {old.name}",
        f"is {new.type}, was {old.type}",
    )


def _given(old: Port, new: Port, subject: str) -> Iterator[Change]:
    if new.required and not old.required:
        yield Change("input-required", Severity.BREAKING, subject, "has to be given now")
    elif old.required and not new.required:
        yield Change("input-optional", Severity.COMPATIBLE, subject, "may be left out now")
    elif old.default != new.default and not (old.type != new.type and None in (old.default, new.default)):
        was, now = (each.default if each.default is not None else "none" for each in (old, new))
        yield Change("default", Severity.BEHAVIOUR, subject, f"is {now} where it isn't given, was {was}")


def _meaning(old: Port, new: Port, subject: str) -> Iterator[Change]:
    if old.meaning != new.meaning and old.type not in VALUES and new.type not in VALUES:
        both = old.meaning and new.meaning
        yield Change(
            "meaning",
            Severity.BREAKING if both else Severity.BEHAVIOUR,
            subject,
            f"means {new.meaning or 'nothing that is declared'}, was {old.meaning or 'undeclared'}",
        )
    if old.unit != new.unit:
        both = old.unit and new.unit
        severity = Severity.BREAKING if both else Severity.BEHAVIOUR
        yield Change("unit", severity, subject, f"is in {new.unit or 'no declared unit'}, was in {old.unit or 'none'}")


def _described(old: str, new: str, subject: str, side: str) -> Iterator[Change]:
    if _words(old) == _words(new):
        if old != new:
            yield Change("wording", Severity.COMPATIBLE, subject, "is described in the same words, written otherwise")
        return
    units = _replaced_units(old, new)
    if units:
        yield Change("unit", Severity.BREAKING, subject, units)
        return
    fields = _fields(old), _fields(new)
    if side and fields[0] and fields[1] is not None and (gone := [each for each in fields[0] if each not in fields[1]]):
        text = f"has no {', '.join(gone)} in its JSON, as described: {_short(new)}"
        yield Change("artifact-schema", Severity.BREAKING, subject, text)
        return
    yield Change(
        "description", Severity.BEHAVIOUR, subject, f"is described otherwise: {_short(new)}; was: {_short(old)}"
    )


def _words(text: str) -> list[str]:
    # What stands between words counts where it can carry a value: -1, 0.5, 3:1, [0, 1), a/b.
    bare = re.sub(r"[.,;]+(?=\s|$)", "", text.lower())
    return bare.split()


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 160 else f"{flat[:157]}...")


def _replaced_units(old: str, new: str) -> str:
    was, now = _units(old), _units(new)
    for dimension, units in was.items():
        there = now.get(dimension, frozenset())
        if there and units - there and there - units:
            return f"is in {', '.join(sorted(there))}, was in {', '.join(sorted(units))}, by its description"
    return ""


def _units(text: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for word in re.findall(r"[a-z]+|%", text.lower()):
        unit = {"%": "percent", "s": "second"}.get(word, word if word in _DIMENSION else re.sub(r"s$", "", word))
        if unit in _DIMENSION:
            found.setdefault(_DIMENSION[unit], set()).add(unit)
    return {dimension: frozenset(units) for dimension, units in found.items()}


def _fields(description: str) -> list[str] | None:
    """Returns the fields that a description names: `JSON: name, version, URI`."""
    found = re.match(r"\s*JSON:\s*([^;.()]*)$", description.strip().rstrip("."))
    return [" ".join(each.split()) for each in found[1].split(",")] if found and "," in found[1] else None


def _narrowed(old: Mapping[str, Any], new: Mapping[str, Any], subject: str, side: str) -> Iterator[Change]:
    if _plain(old) == _plain(new):
        return
    # Who gives values must still be let; who takes them must still know what comes.
    admitted = _admits(new, old) if side == "input" else _admits(old, new)
    text = f"takes {_domain(new)}, took {_domain(old)}" if side == "input" else f"is {_domain(new)}, was {_domain(old)}"
    if admitted:
        yield Change("domain-wider" if side == "input" else "domain-narrower", Severity.COMPATIBLE, subject, text)
    else:
        yield Change("domain", Severity.BREAKING, subject, text)


def _domain(domain: Mapping[str, Any]) -> str:
    return json.dumps(domain, sort_keys=True) if domain else "anything"


def _plain(domain: Mapping[str, Any]) -> Any:
    enumerated = {"enum": sorted(json.dumps(each) for each in domain["enum"])} if "enum" in domain else {}
    return json.dumps({**domain, **enumerated}, sort_keys=True)


_LIMITS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def _admits(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    """True if all that `narrow` admits is admitted by `wide`, as far as it can be told."""
    rules = {key: value for key, value in wide.items() if key not in (*_LIMITS, "enum")}
    if any(key not in narrow or narrow[key] != value for key, value in rules.items()):
        return False
    listed = narrow.get("enum")
    if "enum" in wide:
        known = {json.dumps(each) for each in wide["enum"]}
        if listed is None or any(json.dumps(each) not in known for each in listed):
            return False
    try:
        if listed is not None:
            return all(_within(each, wide) for each in listed)
        low, high = _limits(wide)
        other_low, other_high = _limits(narrow)
    except TypeError:
        return False
    return (low is None or (other_low is not None and other_low >= low)) and (
        high is None or (other_high is not None and other_high <= high)
    )


def _within(value: Any, domain: Mapping[str, Any]) -> bool:
    low, high = _limits(domain)
    return (low is None or (value, 0) >= low) and (high is None or (value, 0) <= high)


def _limits(domain: Mapping[str, Any]) -> tuple[Any, Any]:
    """Returns the bounds so that they can be compared: one that is excluded lies further in."""
    low = [(domain[key], extra) for key, extra in (("minimum", 0), ("exclusiveMinimum", 1)) if key in domain]
    high = [(domain[key], extra) for key, extra in (("maximum", 0), ("exclusiveMaximum", -1)) if key in domain]
    return max(low, default=None), min(high, default=None)


def _users(old: Interface, new: Interface) -> Iterator[Change]:
    if old.user is not None and new.user is not None and _user(old.user) != _user(new.user):
        text = f"is {_user(new.user)}, was {_user(old.user)}: what may be written and what a cluster lets run differs"
        yield Change("user", Severity.BREAKING, "the image's user", text)
    for step in [each for each in old.images if each in new.images]:
        if old.users.get(step) != new.users.get(step):
            text = (
                f"has the security context {new.users.get(step, 'of the cluster')}, was {old.users.get(step, 'that')}"
            )
            yield Change("user", Severity.BREAKING, f"step {step}", text)


def _user(text: str) -> str:
    name, _, group = text.strip().partition(":")
    name = "root" if name in {"", "0"} else name
    return name if group in {"", *(("0", "root") if name == "root" else ())} else f"{name}:{group}"


def _programs(old: Interface, new: Interface) -> Iterator[Change]:
    if len(old.program) != 1 or len(new.program) != 1 or old.wiring or new.wiring:
        for step in old.program:
            if step not in new.program:
                yield Change("step-removed", Severity.BEHAVIOUR, f"step {step}", "is gone")
        for step in new.program:
            if step not in old.program:
                yield Change("step-added", Severity.BEHAVIOUR, f"step {step}", "is new")
    for step, was in old.program.items():
        now = new.program.get(step, was)
        if was == now:
            continue
        shared = _shared(old, new)
        if _arguments(was, shared, False) == _arguments(now, shared, False):
            if _arguments(was, shared, True) != _arguments(now, shared, True):
                yield Change("command-line", Severity.COMPATIBLE, _called(step), "has its flags in another order")
        else:
            yield Change("command-line", Severity.BEHAVIOUR, _called(step), "is called otherwise")


def _called(step: str) -> str:
    return f"step {step}" if step else "the program"


def _shared(old: Interface, new: Interface) -> frozenset[str]:
    return frozenset({*old.inputs, *old.outputs} & {*new.inputs, *new.outputs})


def _arguments(program: Mapping[str, Any], shared: frozenset[str], ordered: bool) -> Any:
    """Returns what of a command line isn't for an input or output that only one version has."""
    groups: list[str] = []
    line = list(program.get("args") or [])
    position = 0
    while position < len(line):
        flagged = (
            isinstance(line[position], str)
            and line[position].startswith("--")
            and position + 1 < len(line)
            and isinstance(line[position + 1], dict)
        )
        group = line[position : position + (2 if flagged else 1)]
        position += len(group)
        names = _names(group)
        if not names or names & shared:
            # What has no flag goes by its place.
            groups.append(json.dumps(group if flagged or ordered else [len(groups), group], sort_keys=True))
    rest = json.dumps({key: value for key, value in program.items() if key != "args"}, sort_keys=True)
    return rest, groups if ordered else Counter(groups)


def _names(node: Any) -> frozenset[str]:
    """Returns the inputs and outputs that a part of a command line takes."""
    if isinstance(node, dict):
        here = {value for value in node.values() if isinstance(value, str)}
        return frozenset(here.union(*(_names(value) for value in node.values())))
    return frozenset().union(*(_names(each) for each in node)) if isinstance(node, list) else frozenset()


def _images(old: Interface, new: Interface) -> Iterator[Change]:
    for step, image in old.images.items():
        if step in new.images and new.images[step] != image:
            text = f"has another image: {new.images[step]}, was {image}"
            yield Change("image", Severity.BEHAVIOUR, _called(step), text)


def _annotations(old: Interface, new: Interface) -> Iterator[Change]:
    for key in [*old.annotations, *(each for each in new.annotations if each not in old.annotations)]:
        if old.annotations.get(key) == new.annotations.get(key):
            continue
        known = key in _HOW_TO_START or key in _FOR_PEOPLE
        verb = "is new" if key not in old.annotations else "is gone" if key not in new.annotations else "is another"
        severity = Severity.COMPATIBLE if known else Severity.BEHAVIOUR
        yield Change("annotation", severity, f"annotation {key}", verb)


def _about(old: Interface, new: Interface) -> Iterator[Change]:
    if old.name != new.name:
        yield Change("name", Severity.BREAKING, "name", f"is {new.name!r}, was {old.name!r}")
    yield from _described(old.description, new.description, "description", "")
