"""The supervisor's loop, with processes and a router that are made up."""

import pytest

from pipeyard.serving.envoy import RouterView
from pipeyard.serving.reconciling import WantedModel
from pipeyard.serving.restarts import Restarts
from pipeyard.serving.router_config import aggregate_name, cluster_name, routes_file, written_routes
from pipeyard.serving.served_processes import ROUTER, ServedProcess
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.serving.start_options import StartOptions
from pipeyard.serving.supervisor import QUIET_SECONDS, ServingEdges, Supervisor

STABLE, CANDIDATE = ServedVersion("taxi", 3), ServedVersion("taxi", 4)
CANARY = WantedModel("taxi", 3, 4, 10)


class World:
    """Processes that start at once, a router that takes what is written, and a clock: all of `ServingEdges`."""

    def __init__(self) -> None:
        self.time = 0.0
        self.table: dict[str, ServedProcess] = {}
        self.dead: set[str] = set()
        self.commands: dict[str, list[str]] = {}
        self.history: list[str] = []
        self.ports = iter(range(9000, 9999))
        self.clusters: set[str] = set()
        self.cluster_ports: dict[ServedVersion, int] = {}
        self.sick: set[ServedVersion] = set()
        self.active: dict[ServedVersion, int] = {}
        self.version, self.taken = "", ""
        self.routed: dict = {}
        self.takes = True

    # Of processes.
    def start(self, role, command, env, ports):
        self.history.append(f"start {role}")
        self.commands[role] = list(command)
        self.table[role] = ServedProcess(role, 1000 + len(self.history), self.time, tuple(ports))
        self.dead.discard(role)
        return self.table[role]

    def living(self):
        return {role: each for role, each in self.table.items() if role not in self.dead}

    def known(self):
        return dict(self.table)

    def forget(self, role):
        del self.table[role]

    def end(self, role):
        self.history.append(f"end {role}")
        del self.table[role]

    def reap(self):
        return False

    # Of the router.
    def prepare(self, port, admin_port):
        return ["--config", str(port)]

    def set_clusters(self, ports, aggregates):
        self.cluster_ports = dict(ports)
        if self.takes:
            self.clusters = {*map(cluster_name, ports), *map(aggregate_name, aggregates)}

    def set_routes(self, routes):
        content = routes_file(routes)
        named = {
            each["name"]
            for route in content["resources"][0]["virtual_hosts"][0]["routes"]
            for each in route.get("route", {}).get("weighted_clusters", {}).get("clusters", [])
        }
        if ROUTER in self.living() and self.clusters:
            assert named <= self.clusters | {"taxi@3", "taxi@4"}, "a route to a cluster that the router doesn't know"
        self.version, self.routed = content["version_info"], dict(routes)
        return self.version

    def view(self, admin_port):
        if self.takes:
            self.taken = self.version
        living = {ServedVersion.parse(role) for role in self.living() if role != ROUTER}
        return RouterView(True, frozenset(living - self.sick), frozenset(self.clusters), self.active, self.taken)


@pytest.fixture
def world():
    return World()


def _supervisor(world, tmp_path, routes=None):
    options = StartOptions(8500, 8501, "/envoy", ("/python", "-m", "model_server"), server_options=("--max-rows", "9"))
    edges = ServingEdges(world, world, free_port=lambda wanted: wanted or next(world.ports), now=lambda: world.time)
    return Supervisor(ServingFolder(tmp_path), options, edges, routes)


def _settle(supervisor, world, wanted, ticks=20):
    for _ in range(ticks):
        world.time += 0.1
        status = supervisor.tick(wanted)
    return status


def test_it_starts_what_is_wanted_and_then_does_nothing(world, tmp_path):
    supervisor = _supervisor(world, tmp_path)
    status = _settle(supervisor, world, [CANARY])
    assert world.history == ["start router", "start taxi/3", "start taxi/4"]
    assert status.routes["taxi"].shares == ((4, 10), (3, 90))
    assert status.in_force
    port = str(status.processes["taxi/4"].ports[0])
    assert world.commands["taxi/4"] == [
        *("/python", "-m", "model_server", "--path", str(tmp_path / "taxi/4"), "--name", "taxi", "--version", "4"),
        *("--host", "127.0.0.1", "--port", port, "--max-rows", "9"),
    ]


def test_shares_that_the_router_has_not_taken_are_not_in_force(world, tmp_path):
    supervisor = _supervisor(world, tmp_path)
    _settle(supervisor, world, [CANARY])
    world.takes = False
    status = _settle(supervisor, world, [WantedModel("taxi", 3, 4, 20)], 1)
    assert (status.routes["taxi"].shares[0], status.in_force) == ((4, 20), False)


@pytest.mark.parametrize("role", ["taxi/3", "taxi/4", ROUTER])
def test_what_was_killed_is_started_again_and_shares_come_back(world, tmp_path, role):
    supervisor = _supervisor(world, tmp_path)
    before = _settle(supervisor, world, [CANARY])
    world.dead.add(role)
    world.history.clear()
    world.time += 0.1
    supervisor.tick([CANARY])
    assert world.history == [f"start {role}"]
    after = _settle(supervisor, world, [CANARY])
    assert after.routes == before.routes
    if role != ROUTER:  # on the port that it had: the router's cluster stays as it is
        assert after.processes[role].ports == before.processes[role].ports


def test_while_a_version_is_down_the_other_has_all(world, tmp_path):
    supervisor = _supervisor(world, tmp_path)
    _settle(supervisor, world, [CANARY])
    world.sick = {STABLE}
    assert _settle(supervisor, world, [CANARY], 1).routes["taxi"].shares == ((4, 100),)
    world.sick = set()
    assert _settle(supervisor, world, [CANARY], 1).routes["taxi"].shares == ((4, 10), (3, 90))


def test_a_version_is_ended_when_the_router_has_sent_it_nothing_for_a_while(world, tmp_path):
    supervisor = _supervisor(world, tmp_path)
    _settle(supervisor, world, [CANARY])
    promoted = [WantedModel("taxi", 4)]
    world.active = {STABLE: 1}  # an answer that takes long
    _settle(supervisor, world, promoted, 30)
    assert "end taxi/3" not in world.history
    world.active = {STABLE: 0}
    freed = world.time
    while "end taxi/3" not in world.history:
        _settle(supervisor, world, promoted, 1)
    assert world.time - freed >= QUIET_SECONDS
    assert STABLE not in world.cluster_ports
    assert _settle(supervisor, world, promoted).routes["taxi"].versions == {4}


def test_nothing_is_ended_by_routes_that_the_router_hasn_t_taken(world, tmp_path):
    supervisor = _supervisor(world, tmp_path)
    _settle(supervisor, world, [CANARY])
    world.takes = False
    _settle(supervisor, world, [WantedModel("taxi", 4)], 50)
    assert "end taxi/3" not in world.history
    world.takes = True
    _settle(supervisor, world, [WantedModel("taxi", 4)], 20)
    assert "end taxi/3" in world.history


def test_the_next_supervisor_takes_over_and_changes_nothing(world, tmp_path):
    _settle(_supervisor(world, tmp_path), world, [CANARY])
    world.history.clear()
    version = world.version
    following = _supervisor(world, tmp_path, written_routes(routes_file(world.routed)))
    status = _settle(following, world, [CANARY])
    assert (world.history, world.version) == ([], version)
    assert status.routes["taxi"].shares == ((4, 10), (3, 90))


def test_one_that_ends_again_and_again_is_started_with_pauses(world, tmp_path):
    supervisor = _supervisor(world, tmp_path)
    for _ in range(100):
        world.time += 0.1
        status = supervisor.tick([CANARY])
        world.dead.add("taxi/4")
    assert 4 <= world.history.count("start taxi/4") <= 6
    assert status.failures["taxi/4"] >= 4
    assert status.routes["taxi"].shares == ((3, 100),)


def test_the_version_before_serves_where_the_stable_one_can_t_be_started(world, tmp_path):
    supervisor = _supervisor(world, tmp_path)
    wanted = [WantedModel("taxi", 4, previous=3)]
    shares = []
    for _ in range(60):
        world.time += 0.1
        shares.append(supervisor.tick(wanted).routes["taxi"].shares)
        world.dead.add("taxi/4")
    first = shares.index(((3, 100),))
    assert set(shares[first:]) == {((3, 100),)}
    assert world.history.count("start taxi/3") == 1
    world.dead.discard("taxi/4")
    status = _settle(supervisor, world, wanted, 120)
    assert status.routes["taxi"].shares == ((4, 100),)
    assert world.history[-1] == "end taxi/3"


def test_pauses_double_and_end_with_one_that_lived():
    restarts, pauses, now = Restarts(), [], 0.0
    for _ in range(9):
        restarts.started("x", now)
        restarts.ended("x", now)
        began = now
        while restarts.waits("x", now):
            now += 0.25
        pauses.append(now - began)
    assert pauses == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    restarts.started("x", now)
    restarts.ended("x", now + 61)
    assert not restarts.waits("x", now + 61)
    assert restarts.count("x") == 1
