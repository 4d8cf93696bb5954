"""What operators decide at KServe and Vertex AI: found by the step that follows, and in force where none runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_vertex as vertex
from deploy import following, kserve, operating
from deploy.desired_target import DeployTarget
from kserve_cluster import TOKEN, KServeCluster, kubeconfig, served
from test_kserve import MODES, OPTIONS, Client, Killed, ended, target, try_version
from test_kserve import follow as follow_in_cluster
from vertex_server import VertexServing

from rollout import desired
from stepkit.errors import StepError

ACTIONS = pytest.mark.parametrize(
    ("action", "ends"), [("promote", (2, None, "promoted")), ("rollback", (1, None, "rolled_back"))]
)


def decide(opened: DeployTarget, action: str, version: int | None = None) -> desired.Desired:
    return operating.decide(opened, "taxi", action, version, "by hand")


def tried(mode: str) -> KServeCluster:
    """Returns a cluster in which version 2 is a canary."""
    cluster = KServeCluster()
    target(cluster, mode).stage(1)
    target(cluster, mode).stage(2)
    return cluster


def last_share(state: desired.Desired) -> dict[int, int]:
    return {state.stable: 100}


@MODES
@ACTIONS
def test_it_is_in_force_where_no_step_runs_and_may_be_repeated(mode: str, action: str, ends: Any) -> None:
    cluster = tried(mode)
    for _ in range(2):
        state = decide(target(cluster, mode), action)
        assert ended(state) == ends
        assert state.decided.reasons == ("by hand",)
        assert cluster.history[-1] == last_share(state)
    assert cluster.bad == []
    assert ended(try_version(cluster, mode, 3)) == (3, None, "promoted")
    assert cluster.bad == []


@MODES
@ACTIONS
def test_killed_at_any_request_it_is_completed_by_the_next_or_by_the_step(mode: str, action: str, ends: Any) -> None:
    client = Client(cluster := tried(mode))
    decide(target(cluster, mode, client), action)
    for kill_at in range(1, client.calls + 1, 3):
        cluster = tried(mode)
        with pytest.raises(Killed):
            decide(target(cluster, mode, Client(cluster, kill_at)), action)
        if ended(target(cluster, mode).read()) == ends and kill_at % 2:
            state = follow_in_cluster(target(cluster, mode), cluster, 2)  # the step that was following
        else:
            state = decide(target(cluster, mode), action)
        assert ended(state) == ends, kill_at
        assert cluster.history[-1] == last_share(state), kill_at
        assert cluster.bad == [], kill_at


class Interrupted(Client):
    """Somebody else does something right before one of its requests."""

    def __init__(self, cluster: KServeCluster, at: int, work: Callable[[], Any]) -> None:
        super().__init__(cluster)
        self.at, self.work, self.number = at, work, 0

    def _call(self, work: Callable[..., Any], *args: Any) -> Any:
        self.number += 1
        if self.number == self.at:
            self.work()
        return super()._call(work, *args)


@MODES
@ACTIONS
def test_a_step_that_follows_ends_with_it_wherever_it_was(mode: str, action: str, ends: Any) -> None:
    decided: list[desired.Desired] = []

    def operate(cluster: KServeCluster) -> None:
        try:
            decided.append(decide(target(cluster, mode), action))
        except StepError as error:  # not staged yet, or decided already
            assert "candidate" in str(error) or "can't be" in str(error)

    cluster = KServeCluster()
    target(cluster, mode).stage(1)
    counting = Interrupted(cluster, 0, lambda: None)
    follow_in_cluster(target(cluster, mode, counting), cluster, 2)
    for at in range(1, counting.number + 1, 5):
        cluster = KServeCluster()
        target(cluster, mode).stage(1)
        decided.clear()
        client = Interrupted(cluster, at, lambda where=cluster: operate(where))  # type: ignore[misc]
        state = follow_in_cluster(target(cluster, mode, client), cluster, 2)
        assert ended(state) == (ends if decided else (2, None, "promoted")), at
        assert cluster.history[-1] == last_share(state), at
        assert cluster.bad == [], at


def test_what_cannot_be_decided_is_said() -> None:
    cluster = KServeCluster()
    with pytest.raises(StepError, match="'taxi' isn't served there: no version was ever deployed"):
        decide(target(cluster, "Standard"), "promote")
    target(cluster, "Standard").stage(1)
    with pytest.raises(StepError, match="'taxi' has no candidate: version 1 is stable and none is tried"):
        decide(target(cluster, "Standard"), "rollback")
    target(cluster, "Standard").stage(2)
    with pytest.raises(StepError, match=r"Version 3 can't be promoted: version 1 is stable and version 2 gets 10%"):
        decide(target(cluster, "Standard"), "promote", 3)


def test_by_the_real_client_over_http_and_no_credential_is_written_or_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kserve, "_POLL_SECONDS", 0.0)
    cluster = tried("Standard")
    token = tmp_path / "prometheus-token"
    token.write_text("of-prometheus-alone")
    options = {**OPTIONS["Standard"], "prometheus_token_file": str(token)}
    argv = ["--serving-target=kserve", f"--serving-options={json.dumps(options)}", "--serving-uri=gs://bucket/serving"]
    with served(cluster) as url:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, url)))
        assert operating.main(["status", *argv, "--model-name=taxi"]) == 0
        status = capsys.readouterr().out
        assert status.splitlines()[0] == "taxi at kserve: version 1 is stable and version 2 gets 10%"
        assert operating.main(["promote", *argv, "--model-name=taxi", "--reason=seen enough", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["stable"], found["decided"]["reasons"], found["steps"]) == (2, ["seen enough"], [])
        assert operating.main(["rollback", *argv, "--model-name=taxi"]) == 1
        said = capsys.readouterr().err
        assert "'taxi' has no candidate: version 2 is stable and none is tried, version 2 was promoted" in said
    assert cluster.history[-1] == {2: 100}
    written = json.dumps([cluster.object(*key) for key in cluster.names()])
    for credential in (TOKEN, "of-prometheus-alone"):
        assert credential not in written + status + said + json.dumps(found)


@ACTIONS
def test_at_vertex_it_is_in_force_where_no_step_runs(action: str, ends: Any) -> None:
    server = VertexServing(polls=1)
    for version in (1, 2):
        vertex.open_target(server).stage(version)
    for _ in range(2):
        assert ended(decide(vertex.open_target(server), action)) == ends
        assert vertex.served(server) == ({str(ends[0]): 100}, [str(ends[0])])
    assert server.gaps == []


@ACTIONS
def test_at_vertex_a_step_that_follows_ends_with_it(action: str, ends: Any) -> None:
    server = VertexServing(polls=1)
    opened = vertex.open_target(server)
    for version in (1, 2):
        opened.stage(version)

    def sleep(seconds: float) -> None:
        server.sleep(seconds)
        if opened.read().candidate:
            decide(vertex.open_target(server), action)

    state = following.loop.follow(opened, 2, following.loop.Edges(server.now, sleep), opened.rhythm)
    assert ended(state) == ends
    assert vertex.served(server) == ({str(ends[0]): 100}, [str(ends[0])])
    assert server.gaps == []
