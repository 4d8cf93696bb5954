"""The options of the target kserve: what is refused before anything is trained or pushed, and by which words."""

from typing import Any

import pytest
from deploy import kserve_options, targets
from deploy.desired_target import Given
from deploy.kserve_options import Place, to_service_name

from stepkit.errors import UsageError

GOOD = {
    "namespace": "models",
    "mode": "Standard",
    "image": f"host/model_server@sha256:{'0' * 64}",
    "secret_name": "serving-credentials",
    "prometheus": "http://prometheus.monitoring:9090",
}


def check(
    options: dict[str, Any], strategy: str = "canary", uri: str = "gs://bucket/serving", name: str = "taxi"
) -> None:
    targets.TARGETS["kserve"].check(Given(options, strategy, uri, name))


def test_good_options() -> None:
    check(GOOD)
    check({**GOOD, "min_replicas": 2.0, "max_replicas": 3.0, "window_seconds": 30, "resources": {"limits": {}}})
    assert kserve_options.read({**GOOD, "min_replicas": 2.0}).min_replicas == 2
    check({key: value for key, value in GOOD.items() if key != "secret_name"} | {"mode": "Knative"})
    check({key: value for key, value in GOOD.items() if key != "prometheus"}, "direct")
    targets.TARGETS["kserve"].check(Given(GOOD, "canary", None, None))
    assert isinstance(kserve_options.read(GOOD), Place)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name_space": "x"}, "kserve has no option 'name_space'. Did you mean 'namespace'"),
        ({"namespace": ""}, "lacks 'namespace', which --serving-target kserve needs"),
        ({"namespace": "Models"}, "'Models' can't be a namespace's name"),
        ({"mode": "standard"}, "KServe has no deployment mode 'standard'. Did you mean 'Standard'"),
        ({"secret_name": ""}, "lacks 'secret_name', the name of the Secret with token"),
        ({"secret_name": "eyJh bGci"}, "Never give what is secret itself"),
        ({"image": "host/model_server:latest"}, "name the server's image by digest"),
        ({"server": "tfserving"}, "there is no server 'tfserving'. Did you mean 'tensorflow_serving'"),
        (
            {"server": "tensorflow_serving", "secret_name": ""},
            "compares versions by their metrics, and those of TensorFlow Serving name",
        ),
        ({"prometheus": "prometheus:9090"}, "prometheus is its base URL"),
        ({"prometheus": "http://me:word@prometheus"}, "without a user, a password or a query in it"),
        ({"prometheus": "https://prometheus/?token=abc"}, "without a user, a password or a query in it"),
        ({"prometheus": ""}, "--strategy canary at --serving-target kserve needs the option 'prometheus'"),
        ({"min_replicas": 0}, "min_replicas is 0"),
        ({"min_replicas": 3}, "min_replicas is 3, max_replicas 2"),
        ({"min_replicas": 1.5}, "min_replicas is 1.5; give a whole number"),
        ({"max_replicas": True}, "max_replicas is True; give a whole number"),
        ({"window_seconds": "60"}, "window_seconds is '60'; give a number"),
        ({"window_seconds": 1}, "window_seconds is 1; give 10 to 3600"),
        ({"ready_seconds": 0}, "ready_seconds is 0"),
        ({"resources": []}, "resources is []; give a JSON object"),
        ({"service_account": 3}, "service_account is 3; give text"),
    ],
)
def test_options_that_cannot_be(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        check({**GOOD, **change})
    assert says in str(caught.value)


def test_tensorflow_serving_takes_no_token() -> None:
    options = {**GOOD, "server": "tensorflow_serving"}
    with pytest.raises(UsageError, match="takes neither a token nor TLS at its REST port, so secret_name"):
        check(options, "direct")
    check({**options, "secret_name": ""}, "direct")


@pytest.mark.parametrize(
    "uri", ["/serving", "file:///serving", "serving", "memory://serving", "minio://bucket/serving"]
)
def test_versions_that_pods_cannot_read(uri: str) -> None:
    with pytest.raises(UsageError, match="can't be read by the pods of a cluster. Give one that KServe reads: gs://"):
        check(GOOD, uri=uri)


@pytest.mark.parametrize("target", ["local", "tfserving"])
def test_targets_without_options(target: str) -> None:
    with pytest.raises(UsageError, match="--serving-options has 'mode', and this --serving-target takes none"):
        targets.TARGETS[target].check(Given({"mode": "Standard"}, "direct", "serving", "taxi"))


@pytest.mark.parametrize(
    ("name", "service"), [("chicago_taxi", "chicago-taxi"), ("Taxi.v2", "taxi-v2"), ("a" * 40, "a" * 40)]
)
def test_a_model_s_name_becomes_a_dns_label(name: str, service: str) -> None:
    assert to_service_name(name) == service


@pytest.mark.parametrize("name", ["1st", "_", "a" * 41, "fahrt\u00f6"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UsageError, match="can't be an InferenceService's. Begin it with a letter"):
        check(GOOD, name=name)
