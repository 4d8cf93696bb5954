"""What a deployment would change: a pure comparison of what is wanted with what was found."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeyard.deployment.cache_keys import CachedStep

ChangeKind = Literal["package", "version", "template", "image", "parameter", "run", "schedule"]
_ABSENT = "(none)"


@dataclass(frozen=True)
class DeployedPipeline:
    """One pipeline in one environment.

    Attributes:
        commit: that it was compiled of.
        sha256: of the compiled pipeline.
        images: component to image.
        parameters: of its runs.
        run: what else runs have: pipeline root, service account, experiment, deadline, retries of a step.
        steps: by path.
    """

    commit: str
    sha256: str
    images: Mapping[str, str]
    parameters: Mapping[str, Any]
    run: Mapping[str, str]
    steps: Mapping[str, CachedStep] = field(default_factory=dict)


@dataclass(frozen=True)
class Discrepancy:
    """What a server or bucket lacks or has otherwise, as it was found by looking there.

    Attributes:
        kind: see `Change`.
        after: what a deployment makes of it.
    """

    kind: ChangeKind
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """One thing that a deployment changes.

    Attributes:
        before, after: values; None: it isn't there.
    """

    kind: ChangeKind
    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """In one line."""
        sign = "+" if self.before is None else "-" if self.after is None else "~"
        if self.before is None or self.after is None:
            return f"{sign} {self.kind} {self.name}: {_short(self.after if self.before is None else self.before)}"
        return f"{sign} {self.kind} {self.name}: {_short(self.before)} -> {_short(self.after)}"


@dataclass(frozen=True)
class Uncached:
    """A step whose earlier results the cache won't give any more."""

    step: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a deployment changes.

    Attributes:
        back: commit that is deployed and comes after this one: it would be taken back. Else empty.
    """

    environment: str
    pipeline: str
    commit: str
    sha256: str
    changes: tuple[Change, ...]
    uncached: tuple[Uncached, ...]
    back: str = ""

    @property
    def empty(self) -> bool:
        """True if all is as it should be."""
        return not self.changes

    def lines(self) -> Iterator[str]:
        """Yields the plan for readers."""
        where = f"{self.pipeline} in {self.environment}"
        if self.empty:
            yield f"{where}: nothing changes"
            return
        yield f"{where}: commit {self.commit}, content {self.sha256[:12]}"
        if self.back:
            yield f"  ! commit {self.back} is deployed, which comes after this one"
        yield from (f"  {change}" for change in self.changes)
        for each in self.uncached:
            yield f"  ! step {each.step} loses its cache: {', '.join(each.reasons)}"

    def as_json(self) -> dict[str, Any]:
        """Returns the plan for programs."""
        return {
            "environment": self.environment,
            "pipeline": self.pipeline,
            "commit": self.commit,
            "pipeline_sha256": self.sha256,
            "changes": [asdict(each) for each in self.changes],
            "steps_without_cache": [{"step": each.step, "reasons": list(each.reasons)} for each in self.uncached],
            "takes_back": self.back,
        }


def plan(
    environment: str,
    pipeline: str,
    wanted: DeployedPipeline,
    found: DeployedPipeline | None,
    seen: tuple[Discrepancy, ...] = (),
    back: str = "",
) -> Plan:
    """Compares what is wanted with what was found.

    Args:
        found: what was deployed last, by its record; None: nothing was.
        seen: what else differs where the pipeline is deployed to.
        back: see `Plan`.
    """
    changes = [Change(each.kind, each.name, each.before or None, each.after or None) for each in seen]
    before = found or DeployedPipeline("", "", {}, {}, {})
    changes += _compare("image", before.images, wanted.images)
    changes += _compare("parameter", before.parameters, wanted.parameters)
    changes += _compare("run", before.run, {key: value for key, value in wanted.run.items() if value})
    if before.sha256 != wanted.sha256 and not any(each.kind == "version" for each in changes):
        changes.insert(0, Change("version", pipeline, before.sha256[:12] or None, wanted.sha256[:12]))
    lost = tuple(uncached(found.steps, wanted.steps)) if found else ()
    return Plan(environment, pipeline, wanted.commit, wanted.sha256, tuple(changes), lost, back)


def uncached(before: Mapping[str, CachedStep], after: Mapping[str, CachedStep]) -> Iterator[Uncached]:
    """Yields the steps that don't find earlier results any more, by path.

    Steps that are new, or are never cached, have none to lose.
    """
    reasons = {path: _reasons(before[path], step) for path, step in after.items() if path in before and step.cached}
    lost = {path for path, why in reasons.items() if why}
    # What comes after a step that runs again gets other artifacts of it, as does what comes after a new one.
    again = lost | {path for path in after if path not in before}
    while True:
        further = {path for path, step in after.items() if path not in again and _among(step.after, again)}
        if not further:
            break
        again |= further
    for path in sorted(after):
        if path in again and path in reasons:
            following = tuple(f"it follows {each}" for each in _among(after[path].after, again))
            yield Uncached(path, (*reasons[path], *following))


def _among(sources: Iterable[str], steps: Collection[str]) -> list[str]:
    """Returns those of some sources that are among the steps, or are groups with one of them."""
    return [each for each in sorted(sources) if any(f"{step}/".startswith(f"{each}/") for step in steps)]


def _reasons(before: CachedStep, after: CachedStep) -> tuple[str, ...]:
    found = []
    if before.image != after.image:
        found.append("other image")
    if before.command != after.command:
        found.append("other command")
    found += [
        f"{name}: {_short(before.parameters.get(name, _ABSENT))} -> {_short(after.parameters.get(name, _ABSENT))}"
        for name in sorted({*before.parameters, *after.parameters})
        if before.parameters.get(name, _ABSENT) != after.parameters.get(name, _ABSENT)
    ]
    if before.artifacts != after.artifacts:
        found.append("other artifacts")
    return tuple(found)


def _compare(kind: ChangeKind, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    return [
        Change(kind, name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
