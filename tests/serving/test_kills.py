"""What serves is killed under load, at every step of a rollout: what lives answers, and all comes back by itself."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import psutil
import pytest
from served_folders import UNDECIDED, ServedFolder

from rollout import desired
from rollout.policy import SHADOW

# That a client may wait for an answer where a version lives.
MOST_GAP_SECONDS = 2.0
CANDIDATE, STABLE, ROUTER, SUPERVISOR, KEEPER = "candidate", "stable", "router", "supervisor", "keeper"
VERSIONS = (CANDIDATE, STABLE)


@dataclass
class Killing:
    """A folder served, and what is killed of it.

    Attributes:
        gaps: what was killed, at which step, and the longest time in which a client got no answer, in seconds.
    """

    served: ServedFolder
    gaps: list[str] = field(default_factory=list)

    def pids(self) -> dict[str, int | None]:
        """Returns who is what now; None: nobody."""
        state = self.served.state
        model, supervisor = state["models"]["taxi"], state["supervisor"]["pid"]
        versions = {name: model["versions"].get(str(model[name]), {}).get("pid") for name in VERSIONS}
        return {**versions, ROUTER: state["router"].get("pid"), SUPERVISOR: supervisor}

    def kill(
        self, step: str, who: Sequence[str], shares: Mapping[str, int], *, lives: bool = True, mirrored: bool = False
    ) -> None:
        """Kills, waits until all is as it was, and checks what clients saw of it.

        Args:
            shares: version to its share, before and after.
            lives: a version that may answer does meanwhile.
            mirrored: the candidate gets copies, before and after.
        """
        served, before, wanted = self.served, self.pids(), self._desired()
        processes = {each.pid for each in served.processes()}
        victims = {**before, KEEPER: psutil.Process(before[SUPERVISOR]).ppid()}
        load = served.load()
        time.sleep(0.5)
        for name in who:
            os.kill(victims[name], signal.SIGKILL)
        if {SUPERVISOR, KEEPER} <= set(who):
            served.pipeyard("start")
        # Of keeper and supervisor the supervisor is another one then, whichever was killed.
        new = {SUPERVISOR if name == KEEPER else name for name in who}

        def is_back() -> bool:
            now = self.pids()
            other = {name for name in now if now[name] != before[name]}
            copied = any(each["mirrored"] for each in served.state["models"]["taxi"]["versions"].values())
            return other == new and None not in now.values() and served.shares == shares and copied == mirrored

        served.wait(is_back, f"{step}: after the kill of {who} it isn't as before")
        assert self._desired() == wanted
        told = self.told(step, who, load)
        if lives:
            assert told["longest_gap"] <= MOST_GAP_SECONDS, told
        if lives and ROUTER not in who:
            assert told["failed"] == {}, told
        # What lived was taken over.
        assert len({each.pid for each in served.processes()} - processes) == (not {SUPERVISOR, KEEPER} & set(who))

    def told(self, step: str, who: Sequence[str], load) -> dict:
        """Ends the load when it has been answered for a while, and notes what it saw."""
        time.sleep(0.3)
        told = load.end()
        killed = " and ".join(who)
        self.gaps.append(f"{step}, {killed} killed: longest gap {told['longest_gap']:.2f} s, failed {told['failed']}")
        return told

    def _desired(self) -> desired.Desired | None:
        return desired.read(self.served.folder.model("taxi"))


@pytest.fixture(scope="module")
def killing(served, request):
    made = Killing(served)
    yield made
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("", *made.gaps, sep="\n")


def test_at_a_canary_s_first_step(killing):
    for who in ((CANDIDATE,), (STABLE,), (ROUTER,), (SUPERVISOR,), (KEEPER,), (SUPERVISOR, KEEPER)):
        killing.kill("canary, 10%", who, {"3": 90, "4": 10})


def test_at_a_later_step(killing):
    killing.served.change(lambda before: desired.shift(before, 4, 50))
    killing.served.wait_for_shares(v3=50, v4=50)
    for who in (CANDIDATE, STABLE, ROUTER, SUPERVISOR):
        killing.kill("canary, 50%", (who,), {"3": 50, "4": 50})


def _kill_at_the_end(killing: Killing, step: str, who: str, number: int) -> None:
    """Stages one of the versions 3 and 4, the other being stable, decides it, and kills somebody in that moment."""
    served, model = killing.served, desired.read(killing.served.folder.model("taxi"))
    tried = 7 - model.stable
    # Of the same policy what was rolled back isn't tried again.
    served.stage(tried, policy=replace(UNDECIDED, min_requests=10**9 + number))
    served.wait(lambda: served.shares.get(str(tried)), f"version {tried} gets no share")
    end = desired.promote if step == "promotion" else desired.roll_back
    left = {str(tried if step == "promotion" else model.stable): 100}
    before, load = killing.pids(), served.load()
    time.sleep(0.5)
    served.change(lambda now: end(now, tried, ["by hand"], time.time()))
    os.kill(before[who], signal.SIGKILL)
    served.wait(lambda: served.shares == left and len(served.processes()) == 2, f"{step}: {who} killed")
    told = killing.told(step, (who,), load)
    if (step, who) != ("roll back", STABLE):  # what was found bad doesn't stand in
        assert told["longest_gap"] <= MOST_GAP_SECONDS, told
    if who == SUPERVISOR:
        assert told["failed"] == {}, told


@pytest.mark.parametrize("step", ["promotion", "roll back"])
def test_as_a_rollout_ends(killing, step):
    """What was decided comes true, and nothing else runs then."""
    for number, who in enumerate((CANDIDATE, STABLE, ROUTER, SUPERVISOR)):
        _kill_at_the_end(killing, step, who, number)


def test_while_a_candidate_is_staged(killing):
    """It isn't ready as long as the test wants; then it gets its share."""
    served = killing.served
    stable = desired.read(served.folder.model("taxi")).stable
    served.push(5, start=10**6)
    served.stage(5)
    served.wait(lambda: killing.pids()[CANDIDATE], "version 5 isn't started")
    for who in (CANDIDATE, STABLE, ROUTER, SUPERVISOR):
        killing.kill("staging", (who,), {str(stable): 100, "5": 0}, lives=who != STABLE)
    (served.folder.path / "taxi/5/behaviour.json").write_text("{}")
    os.kill(killing.pids()[CANDIDATE], signal.SIGKILL)
    served.wait_for_shares(**{f"v{stable}": 90, "v5": 10})


def test_as_a_shadow_gets_copies(killing):
    served = killing.served
    stable = desired.read(served.folder.model("taxi")).stable
    served.stage(5, SHADOW)
    served.wait(lambda: served.state["models"]["taxi"]["versions"]["5"]["mirrored"], "version 5 gets no copies")
    for who in (CANDIDATE, STABLE, ROUTER, SUPERVISOR):
        killing.kill("shadow", (who,), {str(stable): 100, "5": 0}, lives=who != STABLE, mirrored=True)
