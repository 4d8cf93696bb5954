"""KServe's manifests: both versions by name, and nothing that its published schema doesn't know."""

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy import kserve
from jsonschema import Draft202012Validator

from rollout import desired
from rollout.policy import Policy
from stepkit.errors import StepError

# KServe's published CustomResourceDefinitions, which aren't in this repository.
CRDS = Path(os.environ.get("KSERVE_CRDS") or Path(__file__).parents[4] / "shared/data/kserve")
PLACE = {mode: kserve.Place("models", mode, "serving-credentials", service_account="reader") for mode in kserve.MODES}


def uri(version: int) -> str:
    return f"gs://bucket/serving/taxi/{version}"


def stage(current: desired.Desired | None, version: int, strategy: str = "canary") -> desired.Desired:
    return desired.stage(current, version, strategy=strategy, policy=Policy(), registry_uri="", now=1.0)


STABLE = stage(None, 3)
TRIED = stage(STABLE, 4)
STATES = {"stable": STABLE, "tried": TRIED, "promoted": desired.promote(TRIED, 4, [], 2.0)}


def shares(manifest: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    """Returns version, URI and percentage of each predictor."""
    spec = manifest["spec"]
    predictors = [(spec["predictor"], spec["predictor"].get("canaryTrafficPercent"))]
    predictors += [(each["predictor"], each["trafficPercent"]) for each in spec.get("canary", [])]
    return [(one["labels"]["pipeyard.dev/version"], one["model"]["storageUri"], share) for one, share in predictors]


def test_in_standard_mode_each_version_has_a_predictor() -> None:
    (alone,) = kserve.inference_services("taxi", STABLE, uri, PLACE["Standard"])
    assert shares(alone) == [("3", uri(3), None)]
    (both,) = kserve.inference_services("taxi", TRIED, uri, PLACE["Standard"])
    assert shares(both) == [("3", uri(3), None), ("4", uri(4), 10)]
    assert both["spec"]["canary"][0]["predictor"]["name"] == "v4"
    (promoted,) = kserve.inference_services("taxi", STATES["promoted"], uri, PLACE["Standard"])
    assert shares(promoted) == [("4", uri(4), None)]


def test_in_knative_mode_the_stable_version_has_all_traffic_before_the_candidate_gets_a_share() -> None:
    found = kserve.inference_services("taxi", TRIED, uri, PLACE["Knative"])
    assert [shares(each) for each in found] == [[("3", uri(3), 100)], [("4", uri(4), 10)]]
    back = desired.roll_back(TRIED, 4, [], 2.0)
    assert [shares(each) for each in kserve.inference_services("taxi", back, uri, PLACE["Knative"])] == [
        [("3", uri(3), 100)]
    ]


def test_the_runtime_is_the_project_s_and_needs_a_token_and_tls() -> None:
    runtime = kserve.serving_runtime("host/model_server@sha256:abc", PLACE["Standard"])
    (container,) = runtime["spec"]["containers"]
    assert container["image"] == "host/model_server@sha256:abc"
    assert {argument.partition("=")[0] for argument in container["args"]} >= {"--token-file", "--tls-cert", "--tls-key"}
    for state in STATES.values():
        for manifest in kserve.inference_services("taxi", state, uri, PLACE["Standard"]):
            assert manifest["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]


@pytest.mark.parametrize(
    ("name", "service"), [("chicago_taxi", "chicago-taxi"), ("Taxi.v2", "taxi-v2"), ("a" * 40, "a" * 40)]
)
def test_a_model_s_name_becomes_a_dns_label(name: str, service: str) -> None:
    assert kserve.to_service_name(name) == service


@pytest.mark.parametrize("name", ["1st", "_", "a" * 41, "fahrt\u00f6"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(StepError, match="can't be an InferenceService's. Begin it with a letter"):
        kserve.to_service_name(name)


def test_what_kserve_cannot_do() -> None:
    with pytest.raises(StepError, match="KServe copies no requests"):
        kserve.inference_services("taxi", stage(STABLE, 4, "shadow"), uri, PLACE["Standard"])
    with pytest.raises(StepError, match="no deployment mode 'Standrad'. Did you mean 'Standard'"):
        kserve.Place("models", "Standrad", "secret")


@pytest.fixture(name="validators", scope="module")
def fixture_validators() -> dict[str, Draft202012Validator]:
    if not CRDS.is_dir():
        pytest.skip("KServe's CustomResourceDefinitions aren't here: name their folder in KSERVE_CRDS")
    found = {}
    for kind in ("InferenceService", "ServingRuntime"):
        text = gzip.decompress((CRDS / f"serving.kserve.io_{kind.lower()}s.yaml.gz").read_bytes())
        (version,) = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]["versions"]
        found[kind] = Draft202012Validator(strict(version["schema"]["openAPIV3Schema"]))
    return found


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuses what a schema doesn't name, at any depth; metadata is Kubernetes' own."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = dict(schema)
    if properties := schema.get("properties"):
        made["properties"] = {name: strict(each) for name, each in properties.items()}
        made.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = strict(schema[key])
    return made


@pytest.mark.parametrize("mode", kserve.MODES)
def test_manifests_keep_kserve_s_published_schema(mode: str, validators: dict[str, Draft202012Validator]) -> None:
    manifests = [kserve.serving_runtime("host/model_server@sha256:abc", PLACE[mode])]
    for state in STATES.values():
        manifests += kserve.inference_services("taxi", state, uri, PLACE[mode])
    for manifest in manifests:
        errors = [f"{each.json_path}: {each.message}" for each in validators[manifest["kind"]].iter_errors(manifest)]
        assert errors == []


def test_the_schema_finds_a_typo_and_a_missing_name(validators: dict[str, Draft202012Validator]) -> None:
    (manifest,) = kserve.inference_services("taxi", TRIED, uri, PLACE["Standard"])
    tried = manifest["spec"]["canary"][0]["predictor"]
    tried["minReplica"] = tried.pop("minReplicas")
    del tried["model"]["name"]
    messages = sorted(each.message for each in validators["InferenceService"].iter_errors(manifest))
    assert messages == [
        "'name' is a required property",
        "Additional properties are not allowed ('minReplica' was unexpected)",
    ]
