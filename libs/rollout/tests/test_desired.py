"""The desired state: one change after another, each once."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollout import desired
from rollout.desired import Desired
from rollout.errors import RolloutError
from rollout.policy import Policy

POLICY = Policy(min_requests=50)


def stage(current: Desired | None, version: int, strategy: str = "canary", **changes: Any) -> Desired:
    options = {"policy": POLICY, "registry_uri": "sqlite:////r.db", "now": 5.0, "run_id": "run-1", **changes}
    return desired.stage(current, version, strategy=strategy, **options)


FIRST = stage(None, 3, run_id="run-0")
TRIED = stage(FIRST, 4)


def test_the_first_version_is_served_at_once() -> None:
    for strategy in ("direct", "canary", "shadow"):
        first = stage(None, 3, strategy)
        assert (first.stable, first.candidate, first.weight, first.strategy) == (3, None, 0, "direct")
    assert desired.role(FIRST, 3) == "stable"
    assert desired.role(None, 3) == desired.role(FIRST, 4) == "other"


def test_the_next_is_tried_and_promoted() -> None:
    assert (TRIED.stable, TRIED.candidate, TRIED.weight, TRIED.revision) == (3, 4, 10, 2)
    assert stage(FIRST, 4, "shadow").weight == 0
    assert desired.role(TRIED, 4) == "candidate"
    shifted = desired.shift(TRIED, 4, 50)
    assert (shifted.weight, shifted.revision) == (50, 3)
    promoted = desired.promote(shifted, 4, ["good"], 9.0)
    assert (promoted.stable, promoted.candidate, promoted.weight, promoted.previous) == (4, None, 0, 3)
    assert promoted.decided == desired.Decided(4, "promoted", ("good",), 9.0, "run-1")


def test_or_rolled_back() -> None:
    back = desired.roll_back(TRIED, 4, ["errors"], 9.0)
    assert (back.stable, back.candidate, back.weight, back.revision) == (3, None, 0, 3)
    assert (back.decided.action, back.decided.reasons) == ("rolled_back", ("errors",))


def test_what_was_done_is_not_done_again() -> None:
    assert stage(FIRST, 3) is FIRST
    assert stage(TRIED, 4) is TRIED
    shifted = desired.shift(TRIED, 4, 20)
    assert stage(shifted, 4).weight == 20
    assert desired.shift(shifted, 4, 20) is shifted
    promoted = desired.promote(TRIED, 4, ["good"], 9.0)
    assert desired.promote(promoted, 4, ["again"], 10.0) is promoted
    back = desired.roll_back(TRIED, 4, ["bad"], 9.0)
    assert desired.roll_back(back, 4, ["again"], 10.0) is back


def test_a_version_that_was_decided_is_not_tried_again_unless_the_question_is_another() -> None:
    back = desired.roll_back(TRIED, 4, ["bad"], 9.0)
    for run_id in ("run-1", "run-2"):
        assert stage(back, 4, run_id=run_id) is back
    assert stage(back, 4, run_id="run-2", policy=Policy(error_margin=0.1)).candidate == 4
    assert stage(back, 4, "shadow", run_id="run-2").candidate == 4
    assert stage(back, 4, "direct", run_id="run-2").stable == 4
    # The step of the run is tried again, after the rollout that it began was decided by a newer one.
    newer = stage(TRIED, 5, run_id="run-2")
    assert newer.decided.action == "superseded"
    assert stage(newer, 4) is newer
    assert stage(newer, 4, run_id="run-3").candidate == 4


def test_there_is_never_more_than_one_candidate() -> None:
    newer = stage(TRIED, 5)
    assert (newer.stable, newer.candidate, newer.weight) == (3, 5, 10)
    assert (newer.decided.version, newer.decided.reasons) == (4, ("superseded by version 5",))
    direct = stage(TRIED, 5, "direct")
    assert (direct.stable, direct.candidate, direct.previous, direct.decided.version) == (5, None, 3, 4)
    # The model that is served was deployed again: what was tried meanwhile ends.
    back = stage(TRIED, 3)
    assert (back.stable, back.candidate, back.decided.action) == (3, None, "superseded")


def test_a_direct_version_takes_over_from_itself_as_a_candidate() -> None:
    direct = stage(TRIED, 4, "direct")
    assert (direct.stable, direct.candidate, direct.previous, direct.decided) == (4, None, 3, None)


def test_a_policy_can_be_changed_on_the_way() -> None:
    changed = stage(desired.shift(TRIED, 4, 50), 4, policy=Policy(min_requests=7))
    assert (changed.policy.min_requests, changed.weight, changed.staged_at) == (7, 50, 5.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: desired.shift(FIRST, 4, 20), "Version 4 isn't a canary now: version 3 is stable and none is tried."),
        (
            lambda: desired.shift(stage(FIRST, 4, "shadow"), 4, 20),
            "version 4 gets copies of all requests. Stage it first.",
        ),
        (lambda: desired.shift(TRIED, 4, 100), "0 to 99 percent, not 100; at 100 it is promoted."),
        (
            lambda: desired.promote(TRIED, 5, [], 0),
            "Version 5 can't be promoted: version 3 is stable and version 4 gets 10%",
        ),
        (
            lambda: desired.roll_back(FIRST, 3, [], 0),
            "Version 3 can't be rolled back: version 3 is stable and none is tried",
        ),
        (lambda: desired.promote(desired.roll_back(TRIED, 4, [], 0), 4, [], 0), "version 4 was rolled back"),
        (lambda: stage(FIRST, 4, "canari"), "Did you mean 'canary'?"),
        (lambda: desired.staged(None, 4), "Version 4 was never staged"),
    ],
)
def test_what_cannot_be(change: Any, message: str) -> None:
    with pytest.raises(RolloutError) as raised:
        change()
    assert message in str(raised.value)


@pytest.mark.parametrize("state", [FIRST, TRIED, desired.promote(TRIED, 4, ["good", "quick"], 9.0)])
def test_a_state_is_read_as_it_was_written(state: Desired, tmp_path: Path) -> None:
    assert desired.read(tmp_path) is None
    desired.update(tmp_path, lambda _: state)
    assert desired.read(tmp_path) == state
    assert sorted(path.name for path in tmp_path.iterdir()) == [".rollout.lock", "rollout.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "rollout.json isn't a rollout's state"),
        ("[]", "isn't a rollout's state"),
        (FIRST.to_text().replace('"format": 1', '"format": 9'), "has format 9; this program reads 1. Update it."),
        (FIRST.to_text().replace('"stable": 3,', ""), "isn't a rollout's state (KeyError('stable')). Remove it"),
        (FIRST.to_text().replace('"alpha"', '"alhpa"'), "A rollout policy has no 'alhpa'. Did you mean 'alpha'?"),
        (FIRST.to_text().replace('"direct"', '"slow"'), "There is no strategy 'slow'."),
    ],
)
def test_a_file_that_is_no_state(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / desired.FILE).write_text(text)
    with pytest.raises(RolloutError) as raised:
        desired.read(tmp_path)
    assert message in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / desired.FILE).write_bytes(b"\xff{")
    with pytest.raises(RolloutError, match=r"rollout\.json isn't a rollout's state .* Remove it"):
        desired.read(tmp_path)


def test_changes_take_turns(tmp_path: Path) -> None:
    desired.update(tmp_path, lambda _: TRIED)

    def work(number: int) -> None:
        for _ in range(20):
            desired.update(tmp_path, lambda current: replace(current, stable=number, revision=current.revision + 1))

    threads = [threading.Thread(target=work, args=(number,)) for number in (6, 7, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert desired.read(tmp_path).revision == TRIED.revision + 60


def test_what_a_killed_writer_left_is_removed_and_what_was_there_stays(tmp_path: Path) -> None:
    desired.update(tmp_path, lambda _: FIRST)
    (tmp_path / ".rollout.json.abc.partial").write_text("{")
    desired.update(tmp_path, lambda current: stage(current, 4))
    assert json.loads((tmp_path / "rollout.json").read_text())["candidate"] == 4
    assert not (tmp_path / ".rollout.json.abc.partial").exists()
