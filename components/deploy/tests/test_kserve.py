"""The target kserve: manifests that keep the published schemas, and rollouts in an emulated cluster."""

import dataclasses
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from deploy import following, kserve, kserve_manifests, kserve_options, kserve_plan, kubernetes_api, rollout, targets
from deploy.desired_target import Rules
from kserve_cluster import CRDS, RATE, KServeCluster, Refused, faults_of, kubeconfig, served

from rollout import desired
from rollout.observations import Window
from rollout.policy import Policy
from stepkit import registry
from stepkit.errors import StepError

IMAGE = f"host/model_server@sha256:{'0' * 64}"
OPTIONS = {
    mode: {
        "namespace": "models",
        "mode": mode,
        "image": IMAGE,
        "secret_name": "serving-credentials",
        "prometheus": "http://prometheus:9090",
        "service_account": "reader",
    }
    for mode in kserve_options.MODES
}
POLICY = Policy(min_requests=100, error_margin=0.05, latency_ratio=None)
MODES = pytest.mark.parametrize("mode", kserve_options.MODES)
published = pytest.mark.skipif(
    not CRDS.is_dir(), reason="KServe's CustomResourceDefinitions aren't here: name their folder in KSERVE_CRDS"
)


class Killed(BaseException):
    """The process ends here."""


class Client:
    """`deploy.kubernetes_api.Cluster` of an emulated one, without HTTP, and who is killed at a request."""

    def __init__(self, cluster: KServeCluster, kill_at: float = math.inf) -> None:
        self.cluster, self.kill_at, self.calls = cluster, kill_at, 0

    def _call(self, work: Callable[..., Any], *args: Any) -> Any:
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed
        try:
            found = work(*args)
        except Refused as error:
            if error.code == 409:
                raise kubernetes_api.Conflict from error
            raise
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed
        return found

    def read(self, kind: tuple[str, str, str], name: str) -> Any:
        return self._call(self.cluster.read, kind, name)

    def create(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
        self._call(self.cluster.create, kind, manifest)

    def replace(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
        self._call(self.cluster.replace, kind, manifest)


def target(cluster: KServeCluster, mode: str, client: Client | None = None, **changes: Any) -> Any:
    """Returns a target of an emulated cluster; what it observes is what was answered there."""
    found = open_target(cluster, mode, client or Client(cluster), **changes)

    def look(state: desired.Desired, start: float, end: float) -> tuple[Window, Window]:
        assert end <= cluster.clock
        stable, candidate = (answered(cluster, number, start, end) for number in (state.stable, state.candidate))
        return stable, candidate

    return dataclasses.replace(found, look=look)


def open_target(cluster: KServeCluster, mode: str, client: Any, **changes: Any) -> Any:
    options = {**OPTIONS[mode], **changes.pop("options", {})}
    given = {"strategy": "canary", "policy": POLICY, "registry_uri": "", "run_id": "run", "now": cluster.now} | changes
    edges = kserve.Edges(lambda _namespace, _context: client, cluster.sleep, cluster.now)
    return kserve.open_target("memory://bucket/serving", "taxi", Rules(options=options, **given), edges)


def answered(cluster: KServeCluster, version: int | None, start: float, end: float) -> Window:
    assert version is not None

    def until(at: float) -> int:
        labels = {"__name__": "pipeyard_request_seconds_bucket", "le": "+Inf", "version": str(version)}
        return sum(int(each["value"][1]) for each in cluster.series(at) if each["metric"].items() >= labels.items())

    requests = until(end) - until(start)
    return Window(start, end, version, requests=requests, errors=int(requests * cluster.failing.get(version, 0.0)))


def try_version(cluster: KServeCluster, mode: str, version: int, **changes: Any) -> desired.Desired:
    """Stages a version and follows it until it is decided."""
    found = target(cluster, mode, **changes)
    return follow(found, cluster, version)


def follow(found: Any, cluster: KServeCluster, version: int) -> desired.Desired:
    found.stage(version)
    edges = following.loop.Edges(cluster.now, cluster.sleep)
    return following.loop.follow(found, version, edges, found.rhythm)


def ended(state: desired.Desired) -> tuple[int, int | None, str]:
    return state.stable, state.candidate, state.decided.action if state.decided else ""


# A rollout's shares, as whoever counts requests sees them.
PROMOTED = [{1: 100}, {1: 90, 2: 10}, {1: 80, 2: 20}, {1: 50, 2: 50}, {2: 100}]


@MODES
def test_a_good_version_is_promoted_and_another_canary_begins_right_after_at_its_own_shares(mode: str) -> None:
    cluster = KServeCluster()
    assert ended(try_version(cluster, mode, 1)) == (1, None, "")
    assert ended(try_version(cluster, mode, 2)) == (2, None, "promoted")
    assert cluster.history == PROMOTED
    assert ended(try_version(cluster, mode, 3)) == (3, None, "promoted")
    assert cluster.history[len(PROMOTED) :] == [{2: 90, 3: 10}, {2: 80, 3: 20}, {2: 50, 3: 50}, {3: 100}]
    assert cluster.bad == []


@MODES
def test_a_bad_version_is_rolled_back_and_gets_nothing_of_the_next_canary(mode: str) -> None:
    """Traffic leaked to the canary that was rolled back: https://github.com/kserve/kserve/issues/2130."""
    cluster = KServeCluster()
    cluster.failing[2] = 0.5
    try_version(cluster, mode, 1)
    assert ended(try_version(cluster, mode, 2)) == (1, None, "rolled_back")
    assert cluster.history == [{1: 100}, {1: 90, 2: 10}, {1: 100}]
    assert ended(try_version(cluster, mode, 3)) == (3, None, "promoted")
    assert cluster.history[3:] == [{1: 90, 3: 10}, {1: 80, 3: 20}, {1: 50, 3: 50}, {3: 100}]
    assert cluster.bad == []


@MODES
def test_a_newer_version_supersedes_the_candidate_and_direct_serves_at_once(mode: str) -> None:
    cluster = KServeCluster()
    try_version(cluster, mode, 1)
    target(cluster, mode).stage(2)
    target(cluster, mode, run_id="other").stage(3)
    assert (
        cluster.history == [{1: 100}, {1: 90, 2: 10}, {1: 100}, {1: 90, 3: 10}][-len(cluster.history) :]
        or mode == "Standard"
    )
    assert cluster.history[-1] == {1: 90, 3: 10}
    target(cluster, mode, strategy="direct", run_id="third").stage(4)
    assert cluster.history[-1] == {4: 100}
    assert not any({2, 3} <= set(shares) or {3, 4} <= set(shares) for shares in cluster.history)
    assert cluster.bad == []


@MODES
@pytest.mark.parametrize("failing", [0.0, 0.5], ids=["good", "bad"])
def test_killed_at_any_request_the_next_try_ends_the_same(mode: str, failing: float) -> None:
    def begun(kill_at: float = math.inf) -> tuple[KServeCluster, Client]:
        cluster = KServeCluster()
        cluster.failing[2] = failing
        target(cluster, mode).stage(1)
        return cluster, Client(cluster, kill_at)

    cluster, client = begun()
    ends = ended(follow(target(cluster, mode, client), cluster, 2))
    history = cluster.history
    for kill_at in range(1, client.calls + 1):
        cluster, client = begun(kill_at)
        with pytest.raises(Killed):
            follow(target(cluster, mode, client), cluster, 2)
        cluster.sleep(7.0)
        assert ended(follow(target(cluster, mode), cluster, 2)) == ends, kill_at
        assert cluster.history == history, kill_at
        assert cluster.bad == [], kill_at


@MODES
def test_a_candidate_that_is_never_ready_is_rolled_back_without_any_traffic(
    mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = KServeCluster()
    cluster.broken = {2}
    try_version(cluster, mode, 1)
    state = try_version(cluster, mode, 2, options={"ready_seconds": 60})
    assert ended(state) == (1, None, "rolled_back")
    assert state.decided is not None
    assert state.decided.reasons[0].startswith("it isn't served: after 60 s ")
    assert cluster.history == [{1: 100}]
    assert cluster.bad == []
    assert "version 2 is rolled back" in capsys.readouterr().err
    assert ended(try_version(cluster, mode, 3)) == (3, None, "promoted")
    assert cluster.bad == []


@MODES
def test_a_direct_version_that_is_never_ready_leaves_the_one_before(mode: str) -> None:
    cluster = KServeCluster()
    cluster.broken = {2}
    try_version(cluster, mode, 1)
    with pytest.raises(StepError, match=r"Version 2 isn't served by InferenceService 'taxi' .* What served before"):
        target(cluster, mode, strategy="direct", options={"ready_seconds": 30}).stage(2)
    assert cluster.history == [{1: 100}]
    target(cluster, mode, strategy="direct", run_id="next").stage(3)
    assert cluster.history == [{1: 100}, {3: 100}]
    assert cluster.bad == []


@MODES
def test_a_served_version_keeps_its_image_when_another_is_tried_with_a_new_one(mode: str) -> None:
    cluster = KServeCluster()
    try_version(cluster, mode, 1)
    before = cluster.object("inferenceservices", "taxi")["spec"]["predictor"]
    newer = {"image": f"host/model_server@sha256:{'1' * 64}", "resources": {"limits": {"memory": "4Gi"}}}
    cluster.failing[2] = 0.5
    try_version(cluster, mode, 2, options=newer)
    assert cluster.object("inferenceservices", "taxi")["spec"]["predictor"] == before
    target(cluster, mode, strategy="direct", run_id="next", options=newer).stage(1)
    after = cluster.object("inferenceservices", "taxi")["spec"]["predictor"]
    assert after["model"]["runtime"] != before["model"]["runtime"]
    assert cluster.bad == []


def test_somebody_else_s_labels_stay_and_their_changes_meanwhile_do_no_harm() -> None:
    cluster = KServeCluster()
    try_version(cluster, "Standard", 1)
    live = cluster._objects["inferenceservices", "taxi"]
    live["metadata"] |= {"labels": {"team": "a"}, "annotations": {**live["metadata"]["annotations"], "owner": "b"}}

    class Busy(Client):
        def replace(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
            if self.calls % 3 == 0:
                self.calls += 1
                self.cluster.touch(kind[2], manifest["metadata"]["name"])
            super().replace(kind, manifest)

    assert ended(follow(target(cluster, "Standard", Busy(cluster)), cluster, 2)) == (2, None, "promoted")
    metadata = cluster.object("inferenceservices", "taxi")["metadata"]
    assert (metadata["labels"], metadata["annotations"]["owner"]) == ({"team": "a"}, "b")
    assert cluster.history == PROMOTED


def test_a_spec_that_somebody_else_writes_back_is_said() -> None:
    cluster = KServeCluster()

    class Reverting(Client):
        def replace(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
            before = self.cluster.object(kind[2], manifest["metadata"]["name"])
            super().replace(kind, manifest)
            if kind == kubernetes_api.INFERENCE_SERVICE:
                self.cluster._objects[kind[2], "taxi"]["spec"] = before["spec"]

    try_version(cluster, "Standard", 1)
    with pytest.raises(StepError, match="its spec isn't what was written. Does somebody else write it"):
        target(cluster, "Standard", Reverting(cluster), strategy="direct").stage(2)


OF_TENSORFLOW = {"server": "tensorflow_serving", "secret_name": "", "image": f"tensorflow/serving@sha256:{'2' * 64}"}


@MODES
def test_tensorflow_serving_s_image_serves_a_version_by_its_number(mode: str, tmp_path: Path) -> None:
    """The objects keep the published schemas, and the container's command makes the layout that the server reads."""
    cluster = KServeCluster()
    for version in (1, 2):
        target(cluster, mode, strategy="direct", run_id=str(version), options=OF_TENSORFLOW).stage(version)
    assert (cluster.history, cluster.bad) == ([{1: 100}, {2: 100}], [])
    model = cluster.object("inferenceservices", "taxi")["spec"]["predictor"]["model"]
    runtime = cluster.object("servingruntimes", model["runtime"])["spec"]
    (container,) = runtime["containers"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": {"containers": [container]}}
    kubernetes_validate.validate(pod, "1.34", strict=True)
    assert container["image"] == OF_TENSORFLOW["image"]
    (models := tmp_path / "models").mkdir()
    (models / "saved_model.pb").write_text("graph")
    program = tmp_path / "tensorflow_model_server"
    program.write_text(f'#!/bin/sh\necho "$@"; cat {tmp_path}/served/2/saved_model.pb')
    program.chmod(0o755)
    command = [each.replace("/tmp/served", f"{tmp_path}/served") for each in container["command"]]
    command = [each.replace("/mnt/models", str(models)) for each in command]
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"} | {each["name"]: each["value"] for each in model["env"]}
    arguments = [*container["args"], *model["args"]]
    said = subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, check=True).stdout
    assert said == f"{' '.join(arguments)}\ngraph"
    assert {"--rest_api_port=8080", "--model_name=taxi", "--model_base_path=/tmp/served"} <= set(arguments)


def all_manifests(mode: str) -> list[dict[str, Any]]:
    """Returns what is written in rollouts that are promoted, rolled back and superseded."""
    cluster, written = KServeCluster(), []

    class Noting(Client):
        def create(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
            written.append(manifest)
            super().create(kind, manifest)

        def replace(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
            written.append(manifest)
            super().replace(kind, manifest)

    cluster.failing[3] = 0.5
    for version in (1, 2, 3):
        follow(target(cluster, mode, Noting(cluster)), cluster, version)
    return written


@published
@MODES
def test_all_that_is_written_keeps_the_published_schemas(mode: str) -> None:
    kinds = set()
    for manifest in all_manifests(mode):
        kinds.add(manifest["kind"])
        if manifest["kind"] == "ConfigMap":
            kubernetes_validate.validate(manifest, "1.34", strict=True)
        else:
            plural = f"{manifest['kind'].lower()}s"
            checked = {key: value for key, value in manifest.items() if key != "status"}
            assert faults_of(plural, json.dumps(checked, sort_keys=True)) == ()
        if manifest["kind"] == "ServingRuntime":
            spec = {key: manifest["spec"][key] for key in ("containers", "volumes") if key in manifest["spec"]}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
            kubernetes_validate.validate(pod, "1.34", strict=True)
    assert kinds == {"ConfigMap", "InferenceService", "ServingRuntime"}


@published
def test_the_schema_finds_a_typo_and_a_missing_name() -> None:
    place = kserve_options.read(OPTIONS["Standard"])
    parts = [kserve_manifests.predictor("taxi", number, f"gs://bucket/taxi/{number}", place) for number in (1, 2)]
    manifest = kserve_manifests.standard("taxi", place, parts[0], (parts[1], 10))
    tried = manifest["spec"]["canary"][0]["predictor"]
    tried["minReplica"] = tried.pop("minReplicas")
    tried["model"] = {key: value for key, value in tried["model"].items() if key != "name"}
    messages = sorted(each.split(": ", 1)[1] for each in faults_of("inferenceservices", json.dumps(manifest)))
    assert messages == [
        "'name' is a required property",
        "Additional properties are not allowed ('minReplica' was unexpected)",
    ]


def test_the_runtime_is_the_project_s_and_needs_a_token_and_tls_where_it_can_be_reached() -> None:
    standard, knative = (
        kserve_manifests.serving_runtime(kserve_options.read(OPTIONS[mode])) for mode in ("Standard", "Knative")
    )
    assert standard["metadata"]["name"] != knative["metadata"]["name"]
    (container,) = standard["spec"]["containers"]
    assert container["image"] == IMAGE
    flags = {argument.partition("=")[0] for argument in container["args"]}
    assert flags >= {"--host", "--token-file", "--tls-cert", "--tls-key"}
    (container,) = knative["spec"]["containers"]
    assert "--host=127.0.0.1" in container["args"]
    assert "volumes" not in knative["spec"]


def test_nothing_that_pods_are_given_says_how_far_a_rollout_is() -> None:
    """KServe copies annotations to pods, which start again when theirs change."""
    for mode in kserve_options.MODES:
        services = [each for each in all_manifests(mode) if each["kind"] == "InferenceService"]
        assert len({json.dumps(each["metadata"]["annotations"], sort_keys=True) for each in services}) == 1


@pytest.mark.parametrize(
    ("live", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"predictor": {}, "canary": [{}]}, {"predictor": {}}, False),
        ({"predictor": {}, "canary": []}, {"predictor": {}}, True),
        ({"model": {"name": "filled in"}}, {"model": {"name": ""}}, True),
        ({}, {"a": 1}, False),
        ([1], {"a": 1}, False),
    ],
)
def test_an_object_has_all_that_a_manifest_says(live: Any, wanted: Any, same: bool) -> None:
    assert kserve_plan.covers(live, wanted) is same


class Registry:
    """A registry in memory: aliases by name, and tags."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aliases: dict[str, int] = {}
        self.tags: dict[int, dict[str, str]] = {}
        for name in ("register", "promote", "withdraw", "tag"):
            monkeypatch.setattr(registry, name, getattr(self, name))

    def register(self, _uri: str, version: registry.ModelVersion, *_: object) -> registry.ModelVersion:
        return version

    def promote(self, _uri: str, version: registry.ModelVersion, alias: str) -> None:
        self.aliases[alias] = version.version
        if alias == "champion" and self.aliases.get("challenger") == version.version:
            del self.aliases["challenger"]

    def withdraw(self, _uri: str, version: registry.ModelVersion, alias: str) -> None:
        if self.aliases.get(alias) == version.version:
            del self.aliases[alias]

    def tag(self, _uri: str, version: registry.ModelVersion, tags: dict[str, str]) -> None:
        self.tags[version.version] = tags


@MODES
def test_deployed_by_the_real_client_over_http_and_the_registry_follows(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, aliases = KServeCluster(), Registry(monkeypatch)
    cluster.failing[3] = 0.5
    done = []
    with served(cluster) as url:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, url)))
        client = kubernetes_api.connect("models", "here", pause=0.0)
        options = {"prometheus": f"{url}/prometheus"}
        for number in (1, 2, 3):
            found = open_target(cluster, mode, client, options=options, registry_uri="sqlite:///r", run_id=str(number))
            following.reach(found)
            done.append(deploy(tmp_path, number, found, cluster))
        assert aliases.aliases == {"champion": 2}
    assert [(each.role, each.alias, each.decided) for each in done] == [
        ("stable", "champion", ""),
        ("stable", "champion", "promoted"),
        ("other", "", "rolled_back"),
    ]
    assert cluster.history == [*PROMOTED, {2: 90, 3: 10}, {2: 100}]
    assert cluster.bad == []
    assert aliases.tags[3]["pipeyard.rollout"].startswith("rolled_back: errors: 50.00%")


def deploy(folder: Path, number: int, found: Any, cluster: KServeCluster) -> rollout.Deployed:
    from deploy import serving

    model = folder / f"model-{number}"
    model.mkdir()
    (model / "saved_model.pb").write_text(f"graph {number}")
    candidate = rollout.Candidate("taxi", model, serving.digest_of(model), {})
    base = f"memory://{folder}/serving"
    deployed = rollout.deploy_now(candidate, serving.open_versions(base, "taxi"), "sqlite:///r", "champion", found)
    return following.follow(deployed, found, base, "champion", cluster.sleep)


@pytest.mark.parametrize("fault", ["500 after", "close", "close after", "503", "429"])
def test_a_request_that_fails_is_repeated_and_done_once(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = KServeCluster()
    with served(cluster) as url:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, url)))
        client = kubernetes_api.connect("models", "", pause=0.0)
        state = kserve.ClusterState(client, "models", "taxi")

        def staged(version: int) -> desired.Desired:
            cluster.faults = ["", fault]  # the reading goes well
            return state.update(
                lambda current: desired.stage(
                    current, version, strategy="direct", policy=POLICY, registry_uri="", now=1.0, run_id="run"
                )
            )

        assert (staged(1).stable, staged(2).stable) == (1, 2)
    kept = cluster.object("configmaps", "taxi-rollout")
    assert desired.from_text(kept["data"]["rollout.json"], "").revision == 2
    assert cluster.faults == []


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        (["403"], r"refuses GET configmaps/taxi-rollout in namespace 'models' with 403: .* Give the service account"),
        (["401"], "The credentials aren't taken"),
        (["404"], "Is KServe installed in this cluster, and the namespace there"),
        (["500"] * 9, "refuses GET configmaps/taxi-rollout in namespace 'models' with 500"),
        (["close"] * 9, "The cluster's API can't be reached for GET configmaps/taxi-rollout"),
    ],
)
def test_what_the_cluster_refuses_is_said_with_what_to_do(
    faults: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = KServeCluster()
    with served(cluster) as url:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, url)))
        found = open_target(cluster, "Standard", kubernetes_api.connect("models", "", pause=0.0))
        cluster.faults = list(faults)
        with pytest.raises(StepError, match=says):
            found.reach()


def test_a_kserve_that_does_not_know_canaries_refuses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = KServeCluster()
    cluster.known_canary = False
    with served(cluster) as url:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, url)))
        found = open_target(cluster, "Standard", kubernetes_api.connect("models", "", pause=0.0))
        found.stage(1)
        with pytest.raises(StepError, match=r"unknown field \\+\"spec.canary\\+\".* Does the cluster have the KServe"):
            found.stage(2)
        assert cluster.history == [{1: 100}]


def test_without_credentials_it_is_said_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for context in ("", "elsewhere"):
        with pytest.raises(StepError, match="There are no credentials for the cluster .* give a kubeconfig"):
            kubernetes_api.connect("models", context)


def test_rates_are_as_the_emulated_cluster_splits_them() -> None:
    cluster = KServeCluster()
    try_version(cluster, "Standard", 1)
    target(cluster, "Standard").stage(2)
    began = cluster.clock
    cluster.sleep(100.0)
    assert answered(cluster, 2, began, cluster.clock).requests == pytest.approx(RATE * 10, abs=2)


def test_targets_know_it() -> None:
    assert targets.TARGETS["kserve"].strategies == ("direct", "canary")
