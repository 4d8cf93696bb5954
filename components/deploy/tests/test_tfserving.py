"""`models.config`: what TensorFlow Serving is told, as its own text format has it."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy import states, targets, tfserving
from fsspec.implementations.memory import MemoryFileSystem
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from rollout import desired
from rollout.policy import Policy
from stepkit.errors import StepError

# The fields that are written, of tensorflow_serving/config/model_server_config.proto and
# tensorflow_serving/sources/storage_path/file_system_storage_path_source.proto: name, number, type.
FIELDS = {
    "Specific": [("versions", 1, "TYPE_INT64", "LABEL_REPEATED")],
    "Policy": [("specific", 102, ".t.Specific", "LABEL_OPTIONAL")],
    "Label": [("key", 1, "TYPE_STRING", "LABEL_OPTIONAL"), ("value", 2, "TYPE_INT64", "LABEL_OPTIONAL")],
    "Config": [
        ("name", 1, "TYPE_STRING", "LABEL_OPTIONAL"),
        ("base_path", 2, "TYPE_STRING", "LABEL_OPTIONAL"),
        ("model_platform", 4, "TYPE_STRING", "LABEL_OPTIONAL"),
        ("model_version_policy", 7, ".t.Policy", "LABEL_OPTIONAL"),
        ("version_labels", 8, ".t.Label", "LABEL_REPEATED"),
    ],
    "List": [("config", 1, ".t.Config", "LABEL_REPEATED")],
    "Server": [("model_config_list", 1, ".t.List", "LABEL_OPTIONAL")],
}


def parse(text: str) -> list[dict[str, Any]]:
    """Reads a text proto; fails on what isn't in it."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            added = message.field.add(name=field, number=number, label=label)
            if kind.startswith("."):
                added.type, added.type_name = "TYPE_MESSAGE", kind
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    server = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Server"))()
    text_format.Parse(text, server)
    return [
        {
            "name": each.name,
            "base_path": each.base_path,
            "versions": list(each.model_version_policy.specific.versions),
            "labels": {label.key: label.value for label in each.version_labels},
        }
        for each in server.model_config_list.config
        if each.model_platform == "tensorflow"
    ]


@pytest.fixture(name="base", params=["local", "remote"])
def fixture_base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield f"memory://{tmp_path}/serving" if request.param == "remote" else str(tmp_path / 'the "served"')
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def put(base: str, name: str, number: int) -> None:
    graph = f"{base}/{name}/{number}/saved_model.pb"
    if base.startswith("memory://"):
        MemoryFileSystem().pipe_file(graph.removeprefix("memory://"), b"graph")
    else:
        Path(graph).parent.mkdir(parents=True, exist_ok=True)
        Path(graph).write_bytes(b"graph")


def config(base: str) -> list[dict[str, Any]]:
    if base.startswith("memory://"):
        return parse(MemoryFileSystem().cat_file(f"{base.removeprefix('memory://')}/models.config").decode())
    return parse((Path(base) / "models.config").read_text())


def open_target(base: str, name: str, strategy: str = "canary", kind: str = "tfserving") -> targets.DeployTarget:
    return targets.open_target(kind, base, name, targets.Rules(strategy, Policy(), "", "", lambda: 1.0))


def test_labels_follow_the_rollout_and_the_version_before_stays_loaded(base: str) -> None:
    for number in (1, 2, 3):
        put(base, "taxi", number)
    target = open_target(base, "taxi")
    seen = []
    for step in (
        lambda: target.stage(1),
        lambda: target.stage(2),
        lambda: target.shift(2, 50),
        lambda: target.promote(2, ["good"]),
        lambda: target.stage(3),
        lambda: target.roll_back(3, ["bad"]),
        lambda: open_target(base, "taxi", "direct").stage(3),
    ):
        for _ in range(2):  # each may be repeated
            step()
        (found,) = config(base)
        assert (found["name"], found["base_path"]) == ("taxi", f"{base}/taxi")
        assert set(found["labels"].values()) <= set(found["versions"])
        seen.append((found["versions"], found["labels"]))
    assert seen == [
        ([1], {"stable": 1}),
        ([1, 2], {"stable": 1, "canary": 2}),
        ([1, 2], {"stable": 1, "canary": 2}),
        ([1, 2], {"stable": 2}),
        ([1, 2, 3], {"stable": 2, "canary": 3}),
        ([1, 2], {"stable": 2}),
        ([2, 3], {"stable": 3}),
    ]


def test_all_models_are_in_it_but_those_of_other_targets(base: str) -> None:
    for name, kind in (("trips", "tfserving"), ("fares", "tfserving"), ("notes", "local")):
        put(base, name, 1)
        open_target(base, name, kind=kind).stage(1)
    open_target(base, "trips").stage(1)
    assert [each["name"] for each in config(base)] == ["fares", "trips"]


def test_a_version_that_is_not_whole_gets_no_label(base: str) -> None:
    put(base, "taxi", 1)
    target = open_target(base, "taxi")
    target.stage(1)
    target.stage(2)
    assert config(base) == [{"name": "taxi", "base_path": f"{base}/taxi", "versions": [1], "labels": {"stable": 1}}]
    put(base, "taxi", 2)
    tfserving.publish(base)
    assert config(base)[0]["labels"] == {"stable": 1, "canary": 2}


def test_a_stable_version_that_is_gone_keeps_the_configuration_as_it_was(base: str) -> None:
    put(base, "taxi", 1)
    open_target(base, "taxi").stage(1)
    before = config(base)
    with pytest.raises(StepError, match=r"Version 7 of model 'taxi' is the stable one, but isn't in .* Put it back"):
        open_target(base, "taxi", "direct").stage(7)
    assert config(base) == before


def test_a_state_that_was_changed_elsewhere_is_published(base: str) -> None:
    for number in (1, 2):
        put(base, "taxi", number)
        open_target(base, "taxi").stage(number)
    state = states.open_state(base, "taxi").update(
        lambda current: desired.promote(desired.staged(current, 2), 2, ["good"], 1.0)
    )
    targets.publish(state, base)
    assert config(base)[0]["labels"] == {"stable": 2}


class Killed(BaseException):
    """The process ends here."""


class Writes:
    """Counts what is written, and ends the process before or after one of it."""

    def __init__(self, kill_at: float = math.inf) -> None:
        self.kill_at, self.count = kill_at, 0

    def _pass(self) -> None:
        self.count += 1
        if self.count == self.kill_at:
            raise Killed

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def done(*args: Any, **options: Any) -> Any:
            self._pass()
            found = work(*args, **options)
            self._pass()
            return found

        return done


def test_killed_at_any_write_the_next_try_ends_the_same(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        put(base, "taxi", number)

    def steps(target: targets.DeployTarget) -> list[Callable[[], None]]:
        return [
            lambda: target.stage(1),
            lambda: target.stage(2),
            lambda: target.shift(2, 50),
            lambda: target.promote(2, ["good"]),
            lambda: target.stage(3),
            lambda: target.roll_back(3, ["bad"]),
        ]

    def clear() -> None:
        if base.startswith("memory://"):
            for path in MemoryFileSystem().find(base):
                if "saved_model" not in path:
                    MemoryFileSystem().rm_file(path)
            return
        for path in Path(base).rglob("*.*"):
            if path.is_file() and path.name != "saved_model.pb":
                path.unlink()

    def done(writes: Writes) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", writes.around(Path.replace))
            patch.setattr(MemoryFileSystem, "pipe_file", writes.around(MemoryFileSystem.pipe_file))
            for step in steps(open_target(base, "taxi")):
                try:
                    step()
                except Killed:
                    if has_config(base):  # nothing is half written, and no label is of a version that isn't loaded
                        (found,) = config(base)
                        assert set(found["labels"].values()) <= set(found["versions"])
                        assert len(found["labels"]) <= 2 and "stable" in found["labels"]
                    step()

    done(counted := Writes())
    expected = config(base)
    assert expected[0]["labels"] == {"stable": 2}
    for kill_at in range(1, counted.count + 1):
        clear()
        done(Writes(kill_at))
        assert config(base) == expected, kill_at


def has_config(base: str) -> bool:
    if base.startswith("memory://"):
        return bool(MemoryFileSystem().exists(f"{base.removeprefix('memory://')}/models.config"))
    return (Path(base) / "models.config").exists()
