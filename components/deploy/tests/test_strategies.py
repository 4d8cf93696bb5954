"""Strategies: what is desired, what the registry says, and that every step can be repeated after it was killed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Files
from deploy import promotion, rollout, serving, states, targets
from deploy.cli import main
from fsspec.implementations.memory import MemoryFileSystem

from rollout import desired
from rollout.policy import Policy
from stepkit import registry
from stepkit.errors import StepError

SaveModel = Callable[..., Path]


@pytest.fixture(name="store")
def fixture_store() -> Iterator[MemoryFileSystem]:
    yield MemoryFileSystem()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


class Registry:
    """A registry in memory: aliases by name."""

    def __init__(self) -> None:
        self.aliases: dict[str, int] = {}
        self.registered: list[int] = []

    def register(self, _uri: str, version: registry.ModelVersion, *_: object) -> registry.ModelVersion:
        self.registered.append(version.version)
        return version

    def promote(self, _uri: str, version: registry.ModelVersion, alias: str) -> None:
        self.aliases[alias] = version.version


@pytest.fixture(name="aliases")
def fixture_aliases(monkeypatch: pytest.MonkeyPatch) -> Registry:
    fake = Registry()
    monkeypatch.setattr(registry, "register", fake.register)
    monkeypatch.setattr(registry, "promote", fake.promote)
    return fake


def models(folder: Path, count: int) -> list[rollout.Candidate]:
    """What look like SavedModels to who only copies them."""
    return [_model(folder / f"model-{number}") for number in range(count)]


def _model(folder: Path) -> rollout.Candidate:
    folder.mkdir()
    (folder / "saved_model.pb").write_text(f"graph of {folder.name}")
    return rollout.Candidate("taxi", folder, serving.digest_of(folder), {})


def deploy(
    candidate: rollout.Candidate,
    base: str,
    strategy: str,
    *,
    run_id: str = "",
    alias: str = "champion",
    name: str = "local",
) -> rollout.Deployed:
    rules = targets.Rules(strategy, Policy(), "sqlite:////registry.db", run_id, lambda: 7.0)
    target = targets.open_target(name, base, "taxi", rules)
    return rollout.deploy_now(candidate, serving.open_versions(base, "taxi"), "", alias, target)


@pytest.fixture(name="base", params=["local", "remote"])
def fixture_base(request: pytest.FixtureRequest, store: MemoryFileSystem, tmp_path: Path) -> str:
    return f"memory://{tmp_path}/serving" if request.param == "remote" else str(tmp_path / "serving")


def state(base: str) -> desired.Desired:
    found = states.open_state(base, "taxi").read()
    assert found is not None
    return found


def test_a_canary_goes_from_pushed_to_promoted_and_the_next_is_rolled_back(
    files: Files, save_model: SaveModel, capsys: pytest.CaptureFixture[str]
) -> None:
    def alias(name: str) -> int | None:
        found = registry.get_by_alias(files.registry_uri, "taxi", name)
        return found.version if found else None

    def run(weight: float) -> dict:
        options = {"strategy": "canary", "rollout_policy": '{"steps": [5, 100]}', "run_id": f"run-{weight}"}
        assert main(replace(files, model=save_model(weight=weight)).argv(**options)) == 0
        return json.loads((files.outputs / "pushed_model").read_text())

    def settle(change: Callable[[desired.Desired], desired.Desired]) -> None:
        desired.update(files.serving / "taxi", lambda current: change(desired.staged(current, 0)))
        assert promotion.main([f"--serving-uri={files.serving}", "--model-name=taxi"]) == 0

    first = run(1.0)
    assert (first["role"], first["alias"], alias("champion"), alias("challenger")) == ("stable", "champion", 1, None)
    second = run(2.0)
    assert (second["role"], second["alias"], alias("champion"), alias("challenger")) == (
        "candidate",
        "challenger",
        1,
        2,
    )
    followed = json.loads((files.serving / "taxi/rollout.json").read_text())
    assert (followed["stable"], followed["candidate"], followed["weight"]) == (1, 2, 5)
    assert followed["registry_uri"] == files.registry_uri
    assert json.loads((files.serving / "taxi/2/pipeyard.json").read_text())["alias"] == "challenger"

    settle(lambda current: desired.promote(current, 2, ["as good"], 1.0))
    assert (alias("champion"), alias("challenger")) == (2, None)
    champion = registry.get_by_alias(files.registry_uri, "taxi", "champion")
    assert champion.tags["pipeyard.rollout"] == "promoted: as good"

    assert run(3.0)["role"] == "candidate"
    settle(lambda current: desired.roll_back(current, 3, ["errors", "latency"], 2.0))
    assert (alias("champion"), alias("challenger")) == (2, None)
    capsys.readouterr()
    again = run(3.0)
    assert (again["role"], again["alias"], alias("champion"), alias("challenger")) == ("other", "", 2, None)
    assert "version 3 was there already: nothing pushed, decided on before and not tried" in capsys.readouterr().err


def test_a_canary_that_gets_all_traffic_because_the_state_is_lost_says_so(
    files: Files, save_model: SaveModel, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "versions 1 of 'taxi' were pushed before, but --serving-target local knows of none"
    assert main(files.argv(strategy="canary")) == 0
    assert said not in capsys.readouterr().err  # it is the first
    (files.serving / "taxi" / desired.FILE).unlink()
    assert main(replace(files, model=save_model(weight=2.0)).argv(strategy="canary")) == 0
    assert said in capsys.readouterr().err


def test_what_is_desired_lies_beside_the_versions(base: str, aliases: Registry, tmp_path: Path) -> None:
    first, second, third = models(tmp_path, 3)
    assert (deploy(first, base, "shadow").role, state(base).strategy) == ("stable", "direct")
    assert (deploy(second, base, "shadow").role, state(base).weight, state(base).strategy) == ("candidate", 0, "shadow")
    assert aliases.aliases == {"champion": 1, "challenger": 2}
    assert (deploy(third, base, "canary").role, state(base).candidate, state(base).weight) == ("candidate", 3, 10)
    assert state(base).decided.action == "superseded"
    assert (deploy(second, base, "direct").role, state(base).stable, state(base).candidate) == ("stable", 2, None)
    assert aliases.aliases == {"champion": 2, "challenger": 3}
    assert state(base).registry_uri == "sqlite:////registry.db"


def test_a_challenger_by_alias_leaves_what_is_served(base: str, aliases: Registry, tmp_path: Path) -> None:
    first, second = models(tmp_path, 2)
    assert deploy(first, base, "direct", alias="challenger").role == "stable"
    before = state(base)
    assert deploy(second, base, "direct", alias="challenger").alias == "challenger"
    assert (state(base), aliases.aliases) == (before, {"challenger": 2})


class Killed(BaseException):
    """The process ends here."""


POINTS = {
    "push": (serving.LocalVersions, "push"),
    "register": (registry, "register"),
    "alias": (registry, "promote"),
    "stage": (states.LocalState, "update"),
}


@pytest.mark.parametrize("strategy", ["direct", "canary"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_a_deployment_that_was_killed_is_completed_by_the_next(
    point: str, when: str, strategy: str, aliases: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(tmp_path / "serving")
    first, second = models(tmp_path, 2)
    deploy(first, base, "direct")
    place, name = POINTS[point]
    work = getattr(place, name)

    def kill(*args: object) -> None:
        if when == "after":
            work(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(place, name, kill)
        patch.setattr(serving.LocalVersions, "remove", lambda *_: None)  # a killed process cleans nothing up
        with pytest.raises(Killed):
            deploy(second, base, strategy, run_id="run-2")
        assert state(base).stable in serving.open_versions(base, "taxi").numbers()
    done = deploy(second, base, strategy, run_id="run-2")
    assert done.version.version == 2
    assert serving.open_versions(base, "taxi").numbers() == [1, 2]
    now, candidate = state(base), strategy == "canary"
    assert (now.stable, now.candidate) == ((1, 2) if candidate else (2, None))
    assert aliases.aliases == ({"champion": 1, "challenger": 2} if candidate else {"champion": 2})


def test_a_rollout_that_is_decided_meanwhile_gets_its_alias(
    aliases: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(tmp_path / "serving")
    first, second = models(tmp_path, 2)
    deploy(first, base, "direct")
    deploy(second, base, "canary", run_id="run-2")
    real = states.LocalState.update

    def decided_just_before(self: states.LocalState, change: states.Change) -> desired.Desired:
        desired.update(self.folder, lambda current: desired.promote(desired.staged(current, 2), 2, ["good"], 1.0))
        return real(self, change)

    monkeypatch.setattr(states.LocalState, "update", decided_just_before)
    assert deploy(second, base, "canary", run_id="run-2").alias == "champion"
    assert aliases.aliases["champion"] == 2


def test_a_version_that_cannot_be_staged_stays_for_the_next_deployment(aliases: Registry, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    first, second = models(tmp_path, 2)
    deploy(first, str(base), "direct")
    (base / "taxi/rollout.json").write_text("{")
    with pytest.raises(StepError, match=r"rollout.json isn't a rollout's state .* Remove it"):
        deploy(second, str(base), "canary")


def test_a_target_is_told_to_shift_promote_and_roll_back(base: str, aliases: Registry, tmp_path: Path) -> None:
    rules = targets.Rules("canary", Policy(), "", "", lambda: 7.0)
    target = targets.open_target("local", base, "taxi", rules)
    with pytest.raises(StepError, match="Version 2 was never staged"):
        target.promote(2, [])
    for candidate in models(tmp_path, 2):
        deploy(candidate, base, "canary")
    for _ in range(2):
        target.shift(2, 50)
        assert state(base).weight == 50
    for _ in range(2):
        target.roll_back(2, ["errors"])
        assert (state(base).stable, state(base).candidate) == (1, None)
    with pytest.raises(StepError, match="Version 2 isn't a canary now"):
        target.shift(2, 50)
    target = targets.open_target("local", base, "taxi", replace(rules, policy=Policy(alpha=0.1)))
    target.stage(2)
    for _ in range(2):
        target.promote(2, ["good"])
        assert (target.role(2), target.role(1)) == ("stable", "other")


def test_of_two_who_change_a_state_at_once_one_begins_anew(store: MemoryFileSystem) -> None:
    place = states.RemoteState("memory://bucket/taxi")
    stable = desired.Desired(1)
    place.update(lambda _: stable)
    seen = []

    def slow(current: desired.Desired | None) -> desired.Desired:
        seen.append(current)
        if len(seen) == 1:
            place.update(lambda found: replace(found, stable=2, revision=found.revision + 1))
        return replace(current, registry_uri="changed", revision=current.revision + 1)

    assert place.update(slow) == replace(stable, stable=2, registry_uri="changed", revision=3)
    assert [each.stable for each in seen] == [1, 2]
    assert json.loads(store.cat_file("/bucket/taxi/rollout.json"))["revision"] == 3


def test_a_writer_that_was_killed_before_the_copy_is_made_up_for(
    store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = states.RemoteState("memory://bucket/taxi")
    with monkeypatch.context() as patch:
        patch.setattr(states.RemoteState, "_publish", lambda *_: None)
        place.update(lambda _: desired.Desired(1))
    assert not store.exists("/bucket/taxi/rollout.json")
    place.update(lambda current: current)
    assert json.loads(store.cat_file("/bucket/taxi/rollout.json"))["stable"] == 1
    for _ in range(30):
        place.update(lambda current: replace(current, revision=current.revision + 1))
    assert place.read().revision == 31
    assert len(store.ls("/bucket/taxi/.rollout", detail=False)) == 20


def test_a_model_that_was_never_deployed_has_nothing_to_promote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promotion.main([f"--serving-uri={tmp_path}", "--model-name=taxi"]) == 1
    assert "Model 'taxi' has no desired state below" in capsys.readouterr().err
