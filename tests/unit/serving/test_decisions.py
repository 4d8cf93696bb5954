"""Rollouts: looked at each second, decided, written where it is desired; and gone on with after a kill."""

import dataclasses
import itertools
import json
import math

import pytest

from pipeyard.errors import PipeyardError
from pipeyard.serving import operating, version_counters
from pipeyard.serving.aliases import AliasMover, arguments, undecided_alias
from pipeyard.serving.decisions import RolloutEdges, RolloutWatcher
from pipeyard.serving.reconciling import SeenServing, SeenVersion, route
from pipeyard.serving.served_processes import ServedProcess
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.serving.start_options import StartOptions
from pipeyard.serving.supervisor import ServingStatus
from pipeyard.serving.wanted_models import WantedReader
from rollout import desired
from rollout.observations import Counters
from rollout.policy import CANARY, DIRECT, SHADOW, Policy

POLICY = Policy(steps=(10, 50, 100), min_requests=50, error_margin=0.05, deadline_seconds=60, latency_ratio=None)
NOW = 1_000_000.0


class Versions:
    """Versions 3 and 4 of a model under steady load, and the clock."""

    def __init__(self, folder: ServingFolder) -> None:
        self.folder, self.now = folder, NOW
        self.rate, self.errors = {3: 100, 4: 100}, {3: 0, 4: 0}
        self.counted = {3: Counters(NOW, 1.0), 4: Counters(NOW, 1.0)}
        self.failures: dict[str, int] = {}
        for number in (3, 4):
            (folder.path / "taxi" / str(number)).mkdir(parents=True)
            (folder.path / "taxi" / str(number) / "saved_model.pb").touch()

    def stage(self, version: int, strategy: str, policy: Policy = POLICY) -> None:
        desired.update(
            self.folder.model("taxi"),
            lambda now: desired.stage(
                now, version, strategy=strategy, policy=policy, registry_uri="sqlite:///r.db", now=self.now
            ),
        )

    def read(self, port: int, started: float, now: float) -> Counters | None:
        return self.counted[port - 9000]

    def second(self, keeper: RolloutWatcher) -> None:
        """A second passes, in which both are asked, and they are looked at."""
        self.now += 1
        for number, before in self.counted.items():
            if before:
                self.counted[number] = dataclasses.replace(
                    before,
                    at=self.now,
                    requests=before.requests + self.rate[number],
                    errors=before.errors + self.errors[number],
                )
        models = WantedReader(self.folder).read()
        ready = {ServedVersion("taxi", number): SeenVersion(True, True) for number in (3, 4)}
        routes = {model.name: route(model.wanted, SeenServing(ready)) for model in models}
        processes = {f"taxi/{number}": ServedProcess(f"taxi/{number}", 1, 1.0, (9000 + number,)) for number in (3, 4)}
        keeper.look(models, ServingStatus(processes, routes, frozenset(ready), self.failures, True))

    @property
    def state(self) -> desired.Desired:
        found = desired.read(self.folder.model("taxi"))
        assert found
        return found

    def keeper(self) -> RolloutWatcher:
        return RolloutWatcher(self.folder, RolloutEdges(self.read, lambda: self.now))


@pytest.fixture
def versions(tmp_path):
    made = Versions(ServingFolder(tmp_path))
    made.stage(3, DIRECT)
    return made


def test_a_good_canary_goes_step_by_step_and_is_promoted(versions):
    versions.stage(4, CANARY)
    keeper, weights = versions.keeper(), []
    for _ in range(30):
        versions.second(keeper)
        weights.append(versions.state.weight)
        if versions.state.candidate is None:
            break
    assert [weight for weight, _ in itertools.groupby(weights)] == [10, 50, 0]
    assert (versions.state.stable, versions.state.decided.action) == (4, "promoted")


def test_one_that_errs_is_rolled_back_with_the_reason(versions):
    versions.stage(4, CANARY)
    versions.errors[4] = 30
    keeper = versions.keeper()
    for _ in range(10):
        versions.second(keeper)
    assert (versions.state.stable, versions.state.candidate) == (3, None)
    assert versions.state.decided.action == "rolled_back"
    assert "errors" in versions.state.decided.reasons[0]


def test_labels_that_show_a_worse_metric_roll_back(versions):
    versions.stage(4, CANARY, dataclasses.replace(POLICY, min_requests=100_000))
    keeper = versions.keeper()
    versions.second(keeper)
    compared = {"stable": 0.9, "candidate": 0.5, "low": -0.5, "high": -0.3, "requests": 200, "look": 1, "paired": False}
    kept = {"candidate": 4, "staged_at": NOW, "metric": "accuracy", "means": {}, "comparisons": [compared]}
    file = versions.folder.labels("taxi") / "comparisons.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**kept, "staged_at": NOW - 1}))
    versions.second(keeper)
    assert versions.state.candidate == 4  # they are of a rollout before
    file.write_text(json.dumps(kept))
    versions.second(keeper)
    assert (versions.state.candidate, versions.state.decided.action) == (None, "rolled_back")
    assert versions.state.decided.reasons[0].startswith("labels: the metric is 0.5 for the candidate and 0.9")


def test_the_next_supervisor_goes_on_with_what_was_seen(versions):
    versions.stage(4, CANARY, dataclasses.replace(POLICY, min_requests=100_000))
    one, other = versions.keeper(), versions.keeper()
    for _ in range(5):
        versions.second(one)
    with versions.folder.looks("taxi").open("a") as log:
        log.write('{"kind": "look", "at"')  # it was killed while it wrote
    versions.second(other)
    seen, gone_on = one.told()["taxi"].evidence, other.told()["taxi"].evidence
    # Its first look has nothing to compare with: a window that is no evidence.
    assert gone_on.requests == seen.requests == [400, 400]
    assert (gone_on.windows, gone_on.left_out) == (6, seen.left_out + 1)


def test_a_window_in_which_a_version_was_down_or_shares_moved_is_no_evidence(versions):
    versions.stage(4, CANARY, dataclasses.replace(POLICY, min_requests=100_000))
    keeper = versions.keeper()
    versions.second(keeper)
    versions.second(keeper)
    counted = versions.counted[4]
    versions.counted[4] = None
    versions.second(keeper)
    versions.counted[4] = dataclasses.replace(counted, started=2.0, requests=7)
    versions.second(keeper)
    evidence = keeper.told()["taxi"].evidence
    assert (evidence.windows, evidence.left_out, evidence.requests) == (4, 3, [100, 100])
    desired.update(versions.folder.model("taxi"), lambda now: desired.shift(now, 4, 50))
    versions.second(keeper)
    assert keeper.told()["taxi"].evidence.left_out == 4
    versions.second(keeper)
    assert keeper.told()["taxi"].evidence.left_out == 4


def test_one_that_can_t_run_isn_t_waited_for(versions):
    versions.stage(4, SHADOW)
    versions.failures = {"taxi/4": 5}
    versions.second(versions.keeper())
    assert versions.state.decided.reasons == ("version 4 has ended by itself 5 times: see `pipeyard serve logs`",)


def test_operators_decide_too_and_only_on_what_is_there(versions):
    with pytest.raises(PipeyardError, match="no candidate: version 3 is stable"):
        operating.promote(versions.folder, "taxi", None, "by hand")
    with pytest.raises(PipeyardError, match="Did you mean 'taxi'"):
        operating.promote(versions.folder, "taxy", None, "by hand")
    versions.stage(4, CANARY)
    with pytest.raises(PipeyardError, match="Version 5 can't be promoted"):
        operating.promote(versions.folder, "taxi", 5, "by hand")
    assert operating.roll_back(versions.folder, "taxi", None, "by hand").decided.reasons == ("by hand",)
    versions.stage(4, SHADOW)
    assert operating.promote(versions.folder, "taxi", 4, "by hand").stable == 4


def test_without_a_desired_state_the_highest_version_is_served_and_a_broken_one_is_told(versions):
    folder = versions.folder
    reader = WantedReader(folder)
    versions.stage(4, CANARY)
    assert reader.read()[0].wanted.versions == (4, 3)
    file = folder.model("taxi") / "rollout.json"
    file.write_text("{")
    (broken,) = reader.read()
    assert (broken.wanted.versions, broken.problem != "") == ((4, 3), True)  # what was read last
    file.unlink()
    assert [model.wanted.versions for model in WantedReader(folder).read()] == [(4,)]
    assert WantedReader(folder, ["other"]).read() == []
    desired.update(folder.model("taxi"), lambda _: desired.Desired(4, target="tfserving"))
    assert WantedReader(folder).read() == []  # that is TF Serving's


def test_an_alias_is_moved_once_for_each_decision(versions, tmp_path):
    asked = tmp_path / "asked"
    program = tmp_path / "program"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\n[ ! -e {tmp_path}/broken ] || {{ echo "no registry" >&2; exit 1; }}\n'
    )
    program.chmod(0o755)
    options = StartOptions(1, 2, "", (), promotion=(str(program),))
    versions.stage(4, CANARY)
    mover = AliasMover(versions.folder, options)
    reader = WantedReader(versions.folder)

    def settle(mover: AliasMover) -> list[bool]:
        return [mover.settle(model) for model in reader.read()]

    assert settle(mover) == [True]  # nothing is decided
    operating.promote(versions.folder, "taxi", 4, "by hand")
    (tmp_path / "broken").touch()
    assert settle(mover) == [False]
    assert mover.problems() == {"taxi": "no registry"}
    (tmp_path / "broken").unlink()
    assert settle(mover) == settle(AliasMover(versions.folder, options)) == [True]
    assert not mover.problems()
    (model,) = reader.read()
    wanted = " ".join(arguments(versions.folder, model))
    assert asked.read_text().splitlines() == [wanted, wanted]
    # What was staged since has made another version the champion.
    versions.now += 1
    later = desired.stage(
        model.desired, 5, strategy=DIRECT, policy=POLICY, registry_uri="x", now=versions.state.decided.at + 1
    )
    assert later.decided and undecided_alias(later) is None


def test_counts_are_read_of_what_a_model_server_says():
    text = """\
# TYPE pipeyard_requests counter
pipeyard_requests_total{model="m",version="3",status="200"} 10
pipeyard_requests_total{model="m",version="3",status="400"} 2
pipeyard_requests_total{model="m",version="3",status="499"} 5
pipeyard_requests_total{model="m",version="3",status="500"} 1
# TYPE pipeyard_request_seconds histogram
pipeyard_request_seconds_bucket{model="m",version="3",le="0.001"} 4
pipeyard_request_seconds_bucket{model="m",version="3",le="+Inf"} 11
pipeyard_request_seconds_count{model="m",version="3"} 11
# TYPE pipeyard_scores histogram
pipeyard_scores_bucket{model="m",version="3",output="a",le="0.5"} 3
pipeyard_scores_bucket{model="m",version="3",output="a",le="+Inf"} 10
pipeyard_scores_bucket{model="m",version="3",output="b",le="+Inf"} 10
"""
    counts = version_counters.parse(text, 7.0, 9.0)
    # Clients that went away (499) say nothing of the version.
    assert (counts.requests, counts.errors, counts.started, counts.at) == (13, 3, 7.0, 9.0)
    assert counts.latency == {0.001: 4, math.inf: 11}
    assert counts.scores == {"a": {0.5: 3, math.inf: 10}, "b": {math.inf: 10}}
    assert version_counters.read(1, 0, 0) is None
