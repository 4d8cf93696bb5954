"""What is to be done so that what is seen becomes what is wanted: a pure function, asked several times a second.

Each answer is made of the present alone, so that a supervisor that was killed goes on where it was.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pipeyard.serving.serving_folder import ServedVersion

WHOLE = 100


@dataclass(frozen=True)
class WantedModel:
    """What is to be served of a model.

    Attributes:
        weight: percent of the traffic that goes to the candidate.
        mirrored: the candidate gets a copy of each request, and its answers are dropped.
        previous: the stable version before, which serves where the stable one can't be started, or ends before this one
            was ended; None: there is none.
    """

    name: str
    stable: int
    candidate: int | None = None
    weight: int = 0
    mirrored: bool = False
    previous: int | None = None

    @property
    def versions(self) -> tuple[int, ...]:
        """All that have to run; what isn't decided comes first, as keys of requests are dealt out in this order."""
        return (self.stable,) if self.candidate is None else (self.candidate, self.stable)

    @property
    def answering(self) -> tuple[int, ...]:
        """Those whose answers clients may get."""
        return (self.stable,) if self.mirrored else self.versions

    @property
    def shares(self) -> dict[int, int]:
        """Version to the percentage of the traffic that it is to have."""
        if self.candidate is None or self.mirrored:
            return {self.stable: WHOLE}
        return {self.candidate: self.weight, self.stable: WHOLE - self.weight}


@dataclass(frozen=True)
class ModelRoute:
    """Where the router sends a model's requests.

    Attributes:
        shares: version and percentage, which sum to 100; none at 0.
        answering: versions that stand in for each other.
        mirror: version that gets copies.
        pinned: versions that may be asked for by a header.
    """

    shares: tuple[tuple[int, int], ...]
    answering: tuple[int, ...]
    mirror: int | None = None
    pinned: tuple[int, ...] = ()

    @property
    def versions(self) -> frozenset[int]:
        """All that requests may reach."""
        mirrored = () if self.mirror is None else (self.mirror,)
        return frozenset((*dict(self.shares), *self.answering, *mirrored, *self.pinned))


@dataclass(frozen=True)
class SeenVersion:
    """A version's process.

    Attributes:
        ready: the router gets answers of it.
        idle: nothing that the router sent it is unanswered, and nothing was for a while.
    """

    alive: bool
    ready: bool = False
    idle: bool = False


@dataclass(frozen=True)
class SeenServing:
    """What there is.

    Attributes:
        versions: those that have a process, or had one that ended by itself.
        waiting: versions whose process ended so often that it isn't started again yet, and those that aren't there.
        routes: model to where its requests go, as was last written for the router.
        in_force: the router goes by what was last written.
        router_waiting: as `waiting`.
    """

    versions: Mapping[ServedVersion, SeenVersion] = field(default_factory=dict)
    waiting: Collection[ServedVersion] = ()
    routes: Mapping[str, ModelRoute] = field(default_factory=dict)
    in_force: bool = False
    router_alive: bool = False
    router_waiting: bool = False

    def alive(self, version: ServedVersion) -> bool:
        return version in self.versions and self.versions[version].alive

    def ready(self, model: str, number: int) -> bool:
        version = ServedVersion(model, number)
        return self.alive(version) and self.versions[version].ready


@dataclass(frozen=True)
class StartVersion:
    """Start a version's process."""

    version: ServedVersion


@dataclass(frozen=True)
class StopVersion:
    """End a version's process, to which nothing is sent any more."""

    version: ServedVersion


@dataclass(frozen=True)
class StartRouter:
    """Start the router."""


@dataclass(frozen=True)
class SetRoutes:
    """Have the router go by these routes, of all models."""

    routes: Mapping[str, ModelRoute]


ServingAction = StartVersion | StopVersion | StartRouter | SetRoutes


def actions(wanted: Sequence[WantedModel], seen: SeenServing) -> list[ServingAction]:
    """Returns what is to be done now; nothing where all is as it is wanted, or has to be waited for."""
    found: list[ServingAction] = []
    if not seen.router_alive and not seen.router_waiting:
        found.append(StartRouter())
    needed = {ServedVersion(model.name, number) for model in wanted for number in model.versions}
    needed |= {
        ServedVersion(model.name, model.previous) for model in wanted if model.previous and _falls_back(model, seen)
    }
    found += [
        StartVersion(version) for version in sorted(needed) if not seen.alive(version) and version not in seen.waiting
    ]
    routes = {model.name: route(model, seen) for model in wanted}
    if routes != seen.routes:
        return [*found, SetRoutes(routes)]
    reached = {ServedVersion(name, number) for name, each in routes.items() for number in each.versions}
    for version in sorted(set(seen.versions) - needed - reached):
        state = seen.versions[version]
        # Of a router that is down nobody knows where it would send what comes next.
        if state.alive and state.idle and seen.in_force and seen.router_alive:
            found.append(StopVersion(version))
    return found


def route(model: WantedModel, seen: SeenServing) -> ModelRoute:
    """Returns where a model's requests go.

    Shares are as wanted where all that should have one are ready; else those that are ready share all. Where none is,
    what was served before is served on, or the stable version before, so that there is no moment without a version.
    """
    mirror = model.candidate if model.mirrored and seen.ready(model.name, model.candidate or 0) else None
    ready = {number: share for number, share in model.shares.items() if seen.ready(model.name, number)}
    before = seen.routes.get(model.name)
    if not ready and before:
        kept = [number for number in before.answering if seen.alive(ServedVersion(model.name, number))]
        shares = [(number, share) for number, share in before.shares if number in kept]
        if shares:
            pinned = tuple(dict.fromkeys((*model.versions, *kept)))
            return ModelRoute(_whole(dict(shares)), tuple(kept), mirror, pinned)
    if not ready and model.previous and seen.ready(model.name, model.previous):  # it is there still, or again
        pinned = (*model.versions, model.previous)
        return ModelRoute(((model.previous, WHOLE),), (model.previous,), mirror, pinned)
    return ModelRoute(_whole(ready or model.shares), model.answering, mirror, model.versions)


def _falls_back(model: WantedModel, seen: SeenServing) -> bool:
    """Whether the version before has to serve: the stable one ends again and again, or it does so already."""
    if any(seen.ready(model.name, number) for number in model.answering):
        return False
    before = seen.routes.get(model.name)
    serves = before is not None and model.previous in before.answering
    return serves or ServedVersion(model.name, model.stable) in seen.waiting


def _whole(shares: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Returns shares that sum to 100, without those of nothing: of what one version lacks another has all."""
    if len(shares) == 1:
        return ((next(iter(shares)), WHOLE),)
    total = sum(shares.values())
    if total == WHOLE:
        return tuple((number, share) for number, share in shares.items() if share)
    (first, share), *others = shares.items()
    scaled = round(WHOLE * share / total) if total else WHOLE
    return _whole({first: scaled, others[0][0]: WHOLE - scaled})
