"""The supervisor: looks, asks `reconciling` what to do, and does it, until it is told to stop."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeyard.errors import PipeyardError
from pipeyard.serving import router_config, sampling, served_processes
from pipeyard.serving.envoy import RouterView
from pipeyard.serving.reconciling import (
    ModelRoute,
    SeenServing,
    SeenVersion,
    SetRoutes,
    StartRouter,
    StartVersion,
    StopVersion,
    WantedModel,
    actions,
)
from pipeyard.serving.restarts import Restarts
from pipeyard.serving.router_config import Aggregate
from pipeyard.serving.served_processes import ROUTER, ServedProcess
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.serving.start_options import StartOptions

# So long nothing may have been sent to a version before it is ended: a request that was routed by the routes before may
# be on its way to it still.
QUIET_SECONDS = 1.0
# So old a process is before the router is believed that it is healthy: it may mean the one before, at the same port.
SETTLE_SECONDS = 1.2
# Without a word of the router, so long what it said last is taken for true.
_SILENCE_SECONDS = 5.0
_log = logging.getLogger(__name__)


class ProcessTable(Protocol):
    """See `served_processes.ServedProcesses`."""

    def start(
        self, role: str, command: Sequence[str], env: Mapping[str, str], ports: Sequence[int]
    ) -> ServedProcess: ...
    def living(self) -> dict[str, ServedProcess]: ...
    def known(self) -> dict[str, ServedProcess]: ...
    def forget(self, role: str) -> None: ...
    def end(self, role: str) -> None: ...
    def reap(self) -> bool: ...


class Router(Protocol):
    """See `envoy.EnvoyRouter`."""

    def prepare(self, port: int, admin_port: int) -> list[str]: ...
    def set_clusters(self, ports: Mapping[ServedVersion, int], aggregates: Collection[Aggregate]) -> None: ...
    def set_routes(self, routes: Mapping[str, ModelRoute]) -> str: ...
    def view(self, admin_port: int) -> RouterView: ...


@dataclass(frozen=True)
class ServingEdges:
    """What the supervisor touches of the world.

    Attributes:
        env: variables that all it starts gets.
        now: in seconds.
    """

    processes: ProcessTable
    router: Router
    env: Mapping[str, str] = field(default_factory=dict)
    free_port: Callable[[int], int] = served_processes.free_port
    now: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class ServingStatus:
    """What is served now.

    Attributes:
        processes: role to process, of those that live.
        healthy: versions of which the router gets answers.
        failures: role to how often it ended in a row, soon after it was started.
    """

    processes: Mapping[str, ServedProcess]
    routes: Mapping[str, ModelRoute]
    healthy: frozenset[ServedVersion]
    failures: Mapping[str, int]
    in_force: bool


class Supervisor:
    """Keeps what is wanted served.

    Args:
        folder: the served one.
        options: how it was started.
        edges: the world.
        routes: model to where requests go, by the files that a supervisor before left.
    """

    def __init__(
        self,
        folder: ServingFolder,
        options: StartOptions,
        edges: ServingEdges,
        routes: Mapping[str, ModelRoute] | None = None,
    ) -> None:
        self._folder = folder
        self._options = options
        self._edges = edges
        self._restarts = Restarts()
        self._routes: Mapping[str, ModelRoute] = dict(routes or {})
        self._coming: frozenset[Aggregate] = frozenset()
        self._routes_version = ""
        self._ports: dict[ServedVersion, int] = {}
        self._aggregates = router_config.aggregates(self._routes)
        self._clusters: tuple[Mapping[ServedVersion, int], frozenset[Aggregate]] | None = None
        self._view = RouterView()
        self._heard = float("-inf")
        self._busy: dict[ServedVersion, float] = {}

    def tick(self, wanted: Sequence[WantedModel]) -> ServingStatus:
        """Looks, and does what is to be done now."""
        self._edges.processes.reap()
        living = self._living()
        seen = self._seen(living)
        for action in actions(wanted, seen):
            if isinstance(action, StartRouter):
                self._start_router()
            elif isinstance(action, StartVersion):
                self._start_version(action.version)
            elif isinstance(action, StopVersion):
                self._edges.processes.end(str(action.version))
                self._restarts.forget(str(action.version))
            elif isinstance(action, SetRoutes):
                self._set_routes(action.routes, seen)
        if seen.in_force:
            self._aggregates = router_config.aggregates(self._routes) | self._coming
        self._set_clusters()
        named = {(model.name, number) for model in wanted for number in (*model.versions, model.previous) if number}
        self._forget({str(ServedVersion(*each)) for each in named})
        living = self._edges.processes.living()
        failures = {role: count for role in self._restarts.names() if (count := self._restarts.count(role))}
        in_force = seen.in_force and self._routes is seen.routes  # what was written just now isn't yet
        return ServingStatus(living, self._routes, self._view.healthy, failures, in_force)

    def _living(self) -> dict[str, ServedProcess]:
        """Returns the processes that live, and notes which have ended since the last look."""
        living = self._edges.processes.living()
        for role in set(self._edges.processes.known()) - set(living):
            _log.warning("%s has ended by itself", role)
            self._restarts.ended(role, self._edges.now())
            self._edges.processes.forget(role)
        return living

    def _seen(self, living: Mapping[str, ServedProcess]) -> SeenServing:
        now = self._edges.now()
        router = living.get(ROUTER)
        told = self._edges.router.view(router.ports[1]) if router else RouterView()
        if told.answers:
            self._view, self._heard = told, now
        elif not router or now - self._heard > _SILENCE_SECONDS:
            self._view = RouterView()
        if not self._routes_version:  # the first look: what is written is written again, so that its version is known
            self._routes_version = self._edges.router.set_routes(self._routes)
        in_force = told.answers and told.routes_version == self._routes_version
        for version, active in self._view.active.items():
            if active or not in_force or version.number in self._reached(version.model):
                self._busy[version] = now
        versions = {
            version: SeenVersion(True, self._is_ready(version, now), self._is_idle(version, now))
            for version in map(ServedVersion.parse, living.keys() - {ROUTER})
        }
        waiting = [each for each in self._candidates() if self._restarts.waits(str(each), now)]
        return SeenServing(
            versions,
            waiting,
            self._routes,
            in_force,
            router is not None,
            self._restarts.waits(ROUTER, now),
        )

    def _candidates(self) -> list[ServedVersion]:
        return [ServedVersion.parse(role) for role in self._restarts.names() if role != ROUTER]

    def _reached(self, model: str) -> frozenset[int]:
        return self._routes[model].versions if model in self._routes else frozenset()

    def _is_ready(self, version: ServedVersion, now: float) -> bool:
        return version in self._view.healthy and self._restarts.age(str(version), now) >= SETTLE_SECONDS

    def _is_idle(self, version: ServedVersion, now: float) -> bool:
        return now - self._busy.setdefault(version, now) >= QUIET_SECONDS

    def _set_routes(self, routes: Mapping[str, ModelRoute], seen: SeenServing) -> None:
        """Writes routes as soon as the router knows the clusters that they name; a route to another is an error."""
        self._coming = router_config.aggregates(routes)
        self._aggregates |= self._coming
        self._set_clusters()
        if seen.router_alive and not {*map(router_config.aggregate_name, self._coming)} <= self._view.clusters:
            return
        _log.info("routes: %s", routes)
        self._routes, self._coming = routes, frozenset()
        self._routes_version = self._edges.router.set_routes(routes)

    def _start_router(self) -> None:
        admin_port = self._edges.free_port(0)
        try:
            arguments = self._edges.router.prepare(self._options.port, admin_port)
        except PipeyardError as error:
            _log.error("the router can't be started: %s", error)
            self._restarts.started(ROUTER, self._edges.now())
            self._restarts.ended(ROUTER, self._edges.now())
            return
        ports = (self._options.port, admin_port)
        self._start(ROUTER, [self._options.router, *arguments], {}, ports)

    def _start_version(self, version: ServedVersion) -> None:
        port = self._edges.free_port(self._ports.get(version, 0))
        command = [
            *self._options.server,
            *("--path", str(self._folder.version(version))),
            *("--name", version.model, "--version", str(version.number)),
            *("--host", "127.0.0.1", "--port", str(port)),
            *sampling.arguments(self._options.sampling, self._folder, version),
            *self._options.server_options,
        ]
        self._start(str(version), command, self._options.server_env, (port,))

    def _start(self, role: str, command: Sequence[str], env: Mapping[str, str], ports: Sequence[int]) -> None:
        now = self._edges.now()
        self._restarts.started(role, now)
        try:
            self._edges.processes.start(role, command, {**self._edges.env, **env}, ports)
        except OSError as error:
            _log.error("%s can't be started: %s", role, error)
            self._restarts.ended(role, now)

    def _set_clusters(self) -> None:
        """Has the router know the ports of all processes, and those of what is routed to and comes back there."""
        living = self._edges.processes.living()
        ports = {ServedVersion.parse(role): each.ports[0] for role, each in living.items() if role != ROUTER}
        kept = {each: port for each, port in self._ports.items() if each.number in self._reached(each.model)}
        self._ports = {**kept, **ports}
        clusters = (dict(self._ports), self._aggregates)
        if clusters != self._clusters:
            self._edges.router.set_clusters(*clusters)
            self._clusters = clusters

    def _forget(self, wanted: set[str]) -> None:
        for role in [role for role in self._restarts.names() if role not in wanted and role != ROUTER]:
            if role not in self._edges.processes.living():
                self._restarts.forget(role)
