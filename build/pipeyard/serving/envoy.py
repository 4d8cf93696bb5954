"""The router: its files, and what its admin interface tells."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeyard.serving import router_config
from pipeyard.serving.reconciling import ModelRoute
from pipeyard.serving.router_access import RouterAccess
from pipeyard.serving.router_config import Aggregate
from pipeyard.serving.serving_folder import ServedVersion
from pipeyard.system import files

_SECONDS = 1.0
# Of a host's health: it fails checks, or wasn't checked yet.
_UNHEALTHY = ("failed_active_health_check", "failed_active_hc", "pending_active_hc")


@dataclass(frozen=True)
class RouterView:
    """What the router says of itself.

    Attributes:
        answers: it said something at all.
        healthy: versions to which it sends what routes say.
        clusters: names of all that it knows.
        active: version to requests that it waits for answers of.
        routes_version: of the routes that it goes by.
    """

    answers: bool = False
    healthy: frozenset[ServedVersion] = frozenset()
    clusters: frozenset[str] = frozenset()
    active: Mapping[ServedVersion, int] = field(default_factory=dict)
    routes_version: str = ""


class EnvoyRouter:
    """The router's files, and its admin interface.

    Args:
        folder: of the files.
        access: who may ask it.
    """

    def __init__(self, folder: Path, access: RouterAccess | None = None) -> None:
        import requests

        self._access = access or RouterAccess()

        self._folder = folder
        self._session = requests.Session()
        self._session.trust_env = False
        # requests' own exceptions are OSErrors; the others are of answers that aren't as Envoy's.
        self._broken: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError)

    def prepare(self, port: int, admin_port: int) -> list[str]:
        """Writes what Envoy starts with; returns its arguments.

        Clusters and routes stay as they are: a router that comes back routes as the one before.

        Raises:
            OSError: a file can't be written.
            PipeyardError: the file of tokens can't be read any more.
        """
        for name, empty in (
            (router_config.CLUSTERS, router_config.clusters({})),
            (router_config.ROUTES, router_config.routes_file({})),
        ):
            if not (self._folder / name).exists():
                self._move(name, empty)
        if self._access.tls_cert:
            self._move(router_config.CERTIFICATE, router_config.certificate_file(self._access))
        content = router_config.bootstrap(
            str(self._folder.resolve()), port, admin_port, self._access, self._access.tokens()
        )
        self._move(router_config.BOOTSTRAP, content)
        path = str(self._folder / router_config.BOOTSTRAP)
        return ["--config-path", path, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"]

    def routes(self) -> dict[str, ModelRoute]:
        """Returns the routes that were written last, whoever wrote them; none if there are none that can be read."""
        try:
            return router_config.written_routes(json.loads((self._folder / router_config.ROUTES).read_bytes()))
        except self._broken:
            return {}

    def set_clusters(self, ports: Mapping[ServedVersion, int], aggregates: Collection[Aggregate]) -> None:
        """Has it know the versions' ports, and which follow each other."""
        self._move(router_config.CLUSTERS, router_config.clusters(ports, aggregates))

    def set_routes(self, routes: Mapping[str, ModelRoute]) -> str:
        """Has it go by routes; returns the version by which they can be told."""
        content = router_config.routes_file(routes)
        self._move(router_config.ROUTES, content)
        return str(content["version_info"])

    def view(self, admin_port: int) -> RouterView:
        """Asks it."""
        try:
            told = self._ask(admin_port, "clusters?format=json")
            dumped = self._ask(admin_port, "config_dump?resource=dynamic_route_configs")
            return view_of(told, dumped)
        except self._broken:
            return RouterView()

    def _ask(self, admin_port: int, path: str) -> Any:
        answer = self._session.get(f"http://127.0.0.1:{admin_port}/{path}", timeout=_SECONDS)
        answer.raise_for_status()
        return answer.json()

    def _move(self, name: str, content: Mapping[str, Any]) -> None:
        # Renamed into place: Envoy reads a file when one is moved there, and never half of one.
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what it starts with has the tokens
        files.write_whole(self._folder / name, json.dumps(content), synced=False)


def view_of(told: Mapping[str, Any], dumped: Mapping[str, Any]) -> RouterView:
    """Returns the view of Envoy's answers to `clusters` and `config_dump`."""
    healthy: set[ServedVersion] = set()
    active: dict[ServedVersion, int] = {}
    statuses = told.get("cluster_statuses", [])
    for cluster in statuses:
        model, at, number = cluster["name"].partition("@")
        if not at or not number.isdigit():  # an aggregate
            continue
        version = ServedVersion(model, int(number))
        hosts = cluster.get("host_statuses", [])
        if hosts and all(map(_is_healthy, hosts)):
            healthy.add(version)
        stats = [stat for host in hosts for stat in host.get("stats", [])]
        active[version] = sum(int(stat.get("value", 0)) for stat in stats if stat["name"] == "rq_active")
    versions = [each.get("version_info", "") for each in dumped.get("configs", [])]
    names = frozenset(cluster["name"] for cluster in statuses)
    return RouterView(True, frozenset(healthy), names, active, versions[0] if versions else "")


def _is_healthy(host: Mapping[str, Any]) -> bool:
    return not any(host.get("health_status", {}).get(name) for name in _UNHEALTHY)
