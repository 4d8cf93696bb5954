"""What `kfp.kubernetes` gives steps: secrets, config maps and fields of a pod here, too; volumes are refused."""

import pytest
from kfp import dsl, kubernetes
from support.tiny_components import component

from pipeyard.errors import PipeyardError
from pipeyard.local.cluster_objects import ClusterObjects
from pipeyard.runs.record import State

SECRET = "open-sesame"
DECLARED = ClusterObjects({"db": {"password": "${secret:DB_PASSWORD}", "user": "reader"}})
show = component(
    "show", {}, {"said": "JsonObject"}, "import os; print(os.environ); write(OUT['said'], dict(os.environ))"
)


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", SECRET)


def _with(*settings, step=show):
    """Returns a pipeline of one step with settings: functions of its task."""

    @dsl.pipeline(name="p")
    def pipeline(given: str = "x"):
        task = step()
        for each in settings:
            each(task)

    return pipeline


def _secret(task, name="db", **keys):
    kubernetes.use_secret_as_env(task, secret_name=name, secret_key_to_env=keys or {"password": "PASSWORD"})


def test_secrets_reach_the_step_and_nothing_that_is_recorded(run, monkeypatch):
    check = component(
        "check",
        {},
        {"right": "Boolean", "said": "String"},
        f"""
        import os
        write(OUT['right'], os.environ['PASSWORD'] == {SECRET[::-1]!r}[::-1] and os.environ['USER_NAME'] == 'reader')
        write(OUT['said'], 'by ' + os.environ['PASSWORD'])
        print(os.environ['PASSWORD'])
        """,
    )
    pipeline = _with(lambda task: _secret(task, password="PASSWORD", user="USER_NAME"), step=check)
    result = run(pipeline, objects=DECLARED)
    assert result["check"].output_parameters == {"right": True, "said": "by ${secret:DB_PASSWORD}"}
    assert result.log("check") == "${secret:DB_PASSWORD}\n"
    kept = [path for path in result.folder.parent.rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if SECRET.encode() in path.read_bytes()]
    monkeypatch.setenv("DB_PASSWORD", "another one")
    assert run(pipeline, objects=DECLARED).states == {"check": State.CACHED}


def test_a_config_map_is_a_file_and_counts_for_the_cache(run, tmp_path):
    def use(task):
        kubernetes.use_config_map_as_env(task, config_map_name="app", config_map_key_to_env={"mode": "MODE"})

    path = tmp_path / "app.yaml"
    objects = ClusterObjects(config_maps={"app": str(path)})
    path.write_text("mode: fast\n")
    assert run(_with(use), objects=objects)["show"].output_parameters["said"]["MODE"] == "fast"
    path.write_text("kind: ConfigMap\ndata: {mode: slow}\n")
    assert run(_with(use), objects=objects)["show"].output_parameters["said"]["MODE"] == "slow"
    assert run(_with(use), objects=objects).states == {"show": State.CACHED}
    path.write_text("mode: 3\n")
    with pytest.raises(PipeyardError, match="app.yaml isn't a config map: write a mapping of keys to texts"):
        run(_with(use), objects=objects)


def test_fields_of_the_pod_are_the_run_s_and_what_places_pods_has_no_effect(run):
    def use(task):
        kubernetes.use_field_path_as_env(task, "POD", "metadata.name")
        kubernetes.use_field_path_as_env(task, "NODE", "spec.nodeName")
        kubernetes.add_node_selector(task, "pool", "gpu")
        kubernetes.add_toleration(task, key="gpu", operator="Exists", effect="NoSchedule")
        kubernetes.add_pod_label(task, "team", "x")
        kubernetes.set_image_pull_policy(task, "Always")
        kubernetes.set_image_pull_secrets(task, ["registry"])

    said = run(_with(use))["show"].output_parameters["said"]
    assert len(said["POD"]) == 36 and said["NODE"]
    assert run(_with(use)).states == {"show": State.CACHED}  # another pod's name changes nothing


_VOLUME = "it needs a cluster for volume claim data at /data. Put the step under a condition"
REFUSED = {
    "a volume claim": (lambda task: kubernetes.mount_pvc(task, "data", "/data"), _VOLUME),
    "a secret's files": (
        lambda task: kubernetes.use_secret_as_volume(task, "db", "/etc/db"),
        "it needs a cluster for secret db at /etc/db.",
    ),
    "a config map's files": (
        lambda task: kubernetes.use_config_map_as_volume(task, "app", "/etc/app"),
        "it needs a cluster for config map app at /etc/app.",
    ),
    "an empty folder": (
        lambda task: kubernetes.empty_dir_mount(task, "room", "/room"),
        "it needs a cluster for empty folder room at /room.",
    ),
    "another secret": (
        lambda task: _secret(task, "dbs"),
        "the Kubernetes secret 'dbs' isn't declared for runs here. Write it into the environment in settings.yaml: "
        "secrets: {dbs: {KEY: '${secret:VARIABLE}'}}. Did you mean 'db'?",
    ),
    "another key": (
        lambda task: _secret(task, pasword="PASSWORD"),
        "the Kubernetes secret 'db' has no key 'pasword' here. Did you mean 'password'?",
    ),
    "a config map that isn't declared": (
        lambda task: kubernetes.use_config_map_as_env(task, "app", {"mode": "MODE"}),
        "the Kubernetes config map 'app' isn't declared for runs here. Write it into the environment in settings.yaml: "
        "config_maps: {app: FILE}.",
    ),
    "another field": (
        lambda task: kubernetes.use_field_path_as_env(task, "IP", "status.podIP"),
        "the field status.podIP of its pod is a cluster's; here there are metadata.name, metadata.uid, spec.nodeName.",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_only_a_cluster_has_is_refused_by_name_before_anything_runs(run, tmp_path, kind):
    setting, told = REFUSED[kind]
    with pytest.raises(PipeyardError) as caught:
        run(_with(setting), objects=DECLARED)
    assert f"show: {told}" in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_step_on_a_condition_fails_only_if_it_runs(run):
    @dsl.pipeline(name="p")
    def pipeline(mount: bool):
        with dsl.If(mount == True):  # noqa: E712
            kubernetes.mount_pvc(show(), "data", "/data")

    assert run(pipeline, mount=False).states == {"condition-1/show": State.SKIPPED}
    assert run(pipeline, mount=True)["condition-1/show"].reason.startswith(_VOLUME)


def test_a_secret_whose_variable_isn_t_set_is_told(run, monkeypatch):
    monkeypatch.delenv("DB_PASSWORD")
    with pytest.raises(PipeyardError, match="its variable PASSWORD: the secret DB_PASSWORD isn't there. Set the env"):
        run(_with(_secret), objects=DECLARED)


def test_an_optional_secret_may_lack(run):
    def use(task):
        kubernetes.use_secret_as_env(task, secret_name="none", secret_key_to_env={"a": "ABSENT"}, optional=True)

    assert "ABSENT" not in run(_with(use))["show"].output_parameters["said"]


def test_a_secret_that_an_input_names_and_a_volume_that_is_made_are_refused(run):
    @dsl.pipeline(name="p")
    def pipeline(given: str = "db"):
        claim = kubernetes.CreatePVC(access_modes=["ReadWriteOnce"], size="1Gi", pvc_name_suffix="-x")
        _secret(show().after(claim), given)

    with pytest.raises(PipeyardError) as caught:
        run(pipeline, objects=DECLARED)
    assert "createpvc: it makes or removes a volume, which needs a cluster." in str(caught.value)
    assert "show: the name of a Kubernetes secret comes from an input" in str(caught.value)
