"""The serving target `vertex` against a server that enforces the published rules, on good and on bad days."""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from deploy.desired_target import Given, Rules
from deploy.vertex import monitoring, resources, target
from deploy.vertex.client import Client, Patience
from deploy.vertex.place import Place, resource_id
from deploy.vertex.target import VertexTarget
from vertex_server import PARENT, PROJECT, REGION, Listening, VertexServing, respond

from rollout import desired, loop
from rollout.desired import Desired
from rollout.observations import total
from rollout.policy import Policy
from stepkit.errors import StepError, UsageError

IMAGE = "europe-west1-docker.pkg.dev/acme-models/images/model_server@sha256:" + "a" * 64
PLACE = Place(PROJECT, REGION, IMAGE)
PATIENCE = Patience(call=5.0, trouble=20.0, pause=0.001, operation=600.0, look=10.0)
# Few looks: these tests are about the target, those of libs/rollout about the decision.
POLICY = Policy(steps=(20, 50, 100), error_margin=0.05, latency_ratio=None)
ENDPOINT = f"{PARENT}/endpoints/chicago-taxi"
MODEL = f"{PARENT}/models/chicago-taxi"


class Killed(BaseException):
    """The process ends here."""


@dataclass
class InProcess:
    """A session that asks the server without a socket.

    Attributes:
        kill_at: the process ends after so many requests that change something, look at an operation, or at counts.
            Others leave everything as it was after the one before.
        asked: how many of these there were.
    """

    server: VertexServing
    kill_at: float = math.inf
    asked: int = 0

    def request(self, method: str, url: str, *, json: Any, params: Any, timeout: float) -> requests.Response:
        assert timeout > 0
        asked = url + ("?" + urlencode(params, doseq=True) if params else "")
        found = respond(self.server, method, asked, _json(json) if json is not None else b"")
        self.asked += method != "GET" or "/operations/" in url or url.endswith("/timeSeries")
        if self.asked == self.kill_at:
            raise Killed
        if found is None:
            raise requests.ConnectionError("the connection was closed without an answer")
        response = requests.Response()
        response.status_code, response._content = found
        response.request = requests.Request(method, url).prepare()
        return response


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def rules(server: VertexServing, run: str = "run", strategy: str = "canary", policy: Policy = POLICY) -> Rules:
    return Rules(strategy, policy, "sqlite:////registry.db", run, server.now)


def open_target(
    server: VertexServing, session: Any = None, given: Rules | None = None, patience: Patience = PATIENCE
) -> VertexTarget:
    client = Client(PLACE, server.now, server.sleep, patience, session or InProcess(server))
    return target.with_client(
        client, "gs://acme/serving/chicago_taxi/{}".format, "chicago_taxi", given or rules(server)
    )


def deploy(server: VertexServing, version: int, session: Any = None, given: Rules | None = None) -> Desired:
    """What the step does: stages, and follows until it is decided."""
    opened = open_target(server, session, given)
    opened.stage(version)
    return loop.follow(opened, version, loop.Edges(server.now, server.sleep), target.RHYTHM)


def served(server: VertexServing) -> tuple[dict[str, int], list[str]]:
    endpoint = server.endpoints[ENDPOINT]
    return endpoint["trafficSplit"], [each["id"] for each in endpoint["deployedModels"]]


def given_aliases(server: VertexServing) -> dict[str, list[str]]:
    return {
        each["labels"]["version"]: [alias for alias in each["versionAliases"] if alias[0] == "c"]
        for each in server.models[MODEL]
    }


@pytest.fixture(name="server")
def fixture_server() -> Iterator[VertexServing]:
    made = VertexServing()
    yield made
    assert made.gaps == []


def test_google_s_sdk_uploads_deploys_at_10_percent_promotes_and_undeploys(server: VertexServing) -> None:
    """The real clients take the loopback server for Vertex AI; so what it refuses of ours, it refuses of theirs."""
    from google.api_core import exceptions
    from google.api_core.retry import Retry
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1 as v1

    with Listening(server) as listening:
        given = {"credentials": AnonymousCredentials(), "transport": "rest"}
        given["client_options"] = {"api_endpoint": listening.url}
        models, endpoints = v1.ModelServiceClient(**given), v1.EndpointServiceClient(**given)

        def end(operation: Any) -> None:
            operation.result(polling=Retry(lambda _: True, initial=0.01, timeout=30))

        made = v1.Endpoint(display_name="x")
        end(endpoints.create_endpoint(parent=PARENT, endpoint=made, endpoint_id="chicago-taxi"))
        for version in (1, 2):
            request = {"parent": PARENT, "model": resources.model("x", version, f"gs://acme/x/{version}", PLACE)}
            request |= {"model_id": "chicago-taxi"} if version == 1 else {"parent_model": MODEL}
            request["model"] = v1.Model.from_json(json.dumps(request["model"]), ignore_unknown_fields=False)
            end(models.upload_model(v1.UploadModelRequest(**request)))
            deployed = v1.DeployedModel.from_json(
                json.dumps(resources.deployed_model(MODEL, version, PLACE)), ignore_unknown_fields=False
            )
            split = {"0": 100} if version == 1 else {"1": 90, "0": 10}
            end(endpoints.deploy_model(endpoint=ENDPOINT, deployed_model=deployed, traffic_split=split))
        assert served(server) == ({"1": 90, "2": 10}, ["1", "2"])
        with pytest.raises(exceptions.BadRequest, match="the deployed model 1 has traffic"):
            endpoints.undeploy_model(endpoint=ENDPOINT, deployed_model_id="1")
        found = endpoints.get_endpoint(name=ENDPOINT)
        for split, problem in (({"1": 90, "2": 9}, "add up to 100"), ({"1": 90, "7": 10}, "aren't deployed")):
            found.traffic_split = split
            with pytest.raises(exceptions.BadRequest, match=problem):
                endpoints.update_endpoint(endpoint=found, update_mask={"paths": ["traffic_split"]})
        found.traffic_split = {"2": 100}
        endpoints.update_endpoint(endpoint=found, update_mask={"paths": ["traffic_split"]})
        end(endpoints.undeploy_model(endpoint=ENDPOINT, deployed_model_id="1"))
        assert [(each.id, each.model) for each in endpoints.get_endpoint(name=ENDPOINT).deployed_models] == [
            ("2", f"{MODEL}@v2")
        ]


def test_the_first_is_direct_a_good_one_is_promoted_a_second_right_after_and_a_bad_one_rolled_back(
    server: VertexServing,
) -> None:
    assert deploy(server, 1).strategy == "direct"
    assert served(server) == ({"1": 100}, ["1"])
    for version in (2, 3):
        state = deploy(server, version)
        assert (state.decided.version, state.decided.action) == (version, "promoted")
        assert served(server) == ({str(version): 100}, [str(version)])
    shares = [split.get("2", 0) for _, split in server.splits]
    assert shares == [0, 20, 50, 100, 80, 50, 0]
    server.errors["4"] = 0.3
    state = deploy(server, 4)
    assert (state.stable, state.decided.action) == (3, "rolled_back")
    assert state.decided.reasons[0].startswith("errors: ")
    assert served(server) == ({"3": 100}, ["3"])
    assert given_aliases(server) == {"1": [], "2": [], "3": ["champion"], "4": []}
    assert server.endpoints[ENDPOINT]["labels"] == {
        "managed-by": "pipeyard",
        "strategy": "canary",
        "stable": "3",
        "decided": "4-rolled_back",
    }
    assert deploy(server, 4, given=rules(server, "again")).candidate is None  # bad by the same policy: not tried again
    assert served(server) == ({"3": 100}, ["3"])


def test_a_slow_version_is_rolled_back(server: VertexServing) -> None:
    policy = replace(POLICY, latency_ratio=1.2, deadline_seconds=7200.0)
    deploy(server, 1)
    server.slow["2"] = 2.0
    state = deploy(server, 2, given=rules(server, policy=policy))
    assert state.decided.action == "rolled_back"
    assert state.decided.reasons[0].startswith("latency: the candidate takes")


def test_direct_goes_to_the_new_version_when_it_is_ready(server: VertexServing) -> None:
    for version in (1, 2):
        deploy(server, version, given=rules(server, strategy="direct"))
    assert served(server) == ({"2": 100}, ["2"])
    assert [split for _, split in server.splits] == [{"1": 100}, {"2": 100}]


def test_a_newer_version_takes_a_candidate_s_place(server: VertexServing) -> None:
    deploy(server, 1)
    open_target(server).stage(2)
    open_target(server).stage(3)
    assert served(server) == ({"1": 80, "3": 20}, ["1", "3"])
    assert given_aliases(server) == {"1": ["champion"], "2": [], "3": ["challenger"]}


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_killed_at_any_request_a_retry_ends_the_same(bad: bool) -> None:
    def begun() -> VertexServing:
        server = VertexServing(polls=1)
        server.rate = 1000.0
        if bad:
            server.errors["2"] = 0.5
        return server

    session = InProcess(server := begun())
    deploy(server, 1, session)
    first = session.asked
    ends = deploy(server, 2, session)
    assert ends.decided.action == ("rolled_back" if bad else "promoted")
    expected = (served(server), given_aliases(server), len(server.models[MODEL]))
    for kill_at in range(1, session.asked + 1):
        server, killed = begun(), 1 if kill_at <= first else 2
        session = InProcess(server, kill_at)
        with pytest.raises(Killed):
            for version in (1, 2):
                deploy(server, version, session)
        if killed == 1:
            assert deploy(server, 1).stable == 1
        state = deploy(server, 2)
        assert (state.stable, state.candidate, state.decided.action) == (ends.stable, None, ends.decided.action)
        assert (served(server), given_aliases(server), len(server.models[MODEL])) == expected, kill_at
        assert server.gaps == [], kill_at


@pytest.mark.parametrize("fault", [503, 429, "busy", ("done", 500), "cut", "hang"], ids=str)
def test_a_bad_day_at_any_request_changes_nothing(fault: Any) -> None:
    server = VertexServing(polls=1)
    open_target(server).stage(1)
    open_target(server).stage(2)
    expected = (served(server), given_aliases(server))
    for number in range(len(server.requests)):
        server = VertexServing(polls=1)
        server.faults = [*[None] * number, fault]
        open_target(server).stage(1)
        open_target(server).stage(2)
        assert (served(server), given_aliases(server)) == expected, number
        assert server.gaps == [], number


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (503, r"failed for 0.5 s: ServiceUnavailable: .* What serves goes on as it was. Deploy again"),
        (429, r"over a quota: .* Ask for more of it, or give serving_options another machine_type"),
        (403, r"isn't permitted: .* needs the roles Vertex AI User and Monitoring Viewer"),
        (400, r"was refused: 400 .* Correct what it names"),
    ],
)
def test_what_does_not_recover_is_told(server: VertexServing, fault: int, told: str) -> None:
    deploy(server, 1)
    server.faults = [fault] * 5000
    with pytest.raises(StepError, match=told):
        open_target(server, patience=replace(PATIENCE, trouble=0.5)).stage(2)
    assert served(server) == ({"1": 100}, ["1"])


def test_a_candidate_that_cannot_be_deployed_is_rolled_back(server: VertexServing) -> None:
    deploy(server, 1)
    server.failing["deployModel"] = [{"code": 13, "message": "Model server never became ready."}]
    state = deploy(server, 2)
    assert state.decided.reasons == ("Vertex AI couldn't deploy it: Model server never became ready. (code 13)",)
    assert served(server) == ({"1": 100}, ["1"])


def test_a_quota_is_not_the_candidate_s_fault(server: VertexServing) -> None:
    deploy(server, 1)
    server.failing["deployModel"] = [{"code": 8, "message": "Quota exceeded for CustomModelServingCPUs"}]
    with pytest.raises(StepError, match="Quota exceeded .* What serves goes on as it was. Deploy again"):
        deploy(server, 2)
    assert served(server) == ({"1": 100}, ["1"])
    assert deploy(server, 2).decided.action == "promoted"


@pytest.mark.parametrize("strategy", ["direct", "canary"])
def test_a_first_version_that_cannot_be_deployed_is_an_error(server: VertexServing, strategy: str) -> None:
    server.failing["deployModel"] = [{"code": 9, "message": "Model server exited"}]
    with pytest.raises(StepError, match="couldn't deploy version 1: Model server exited .* mend the model, the image"):
        deploy(server, 1, given=rules(server, strategy=strategy))
    deploy(server, 1)
    assert served(server) == ({"1": 100}, ["1"])


def test_of_two_who_change_an_endpoint_one_looks_anew(server: VertexServing) -> None:
    deploy(server, 1)
    opened, other = open_target(server), open_target(server)
    seen = []

    def change(current: Desired | None) -> Desired:
        seen.append(current)
        if len(seen) == 1:
            other.remember("meanwhile")
        return replace(desired.staged(current, 1), run_id="mine")

    opened.state.update(change)
    assert len(seen) == 2
    assert (opened.read().run_id, opened.remembered()) == ("mine", "meanwhile")


def test_an_endpoint_of_another_model_or_without_a_state_is_left_alone(server: VertexServing) -> None:
    deploy(server, 1)
    server.endpoints[ENDPOINT]["displayName"] = "chicago-taxi"
    with pytest.raises(StepError, match="is 'chicago-taxi''s, and not 'chicago_taxi''s. Give the model another name"):
        open_target(server).stage(2)
    server.endpoints[ENDPOINT] |= {"displayName": "chicago_taxi", "description": "of the team"}
    with pytest.raises(StepError, match="has no state of a rollout: deploy didn't make it"):
        open_target(server).stage(2)


def test_over_http_silence_is_a_fault_like_others(server: VertexServing) -> None:
    with Listening(server) as listening:
        place = replace(PLACE, api_endpoint=listening.url, monitoring_endpoint=listening.url)
        client = Client(place, server.now, server.sleep, replace(PATIENCE, call=0.2))
        opened = target.with_client(client, "gs://acme/{}".format, "chicago_taxi", rules(server))
        server.faults = ["hang", None, "cut"]
        opened.stage(1)
        assert served(server) == ({"1": 100}, ["1"])
        server.clock += 600
        opened.reach()
        state = replace(opened.read(), candidate=2)
        stable, _ = opened.observe(state, server.clock - 540, server.clock - 480)
        assert (stable.version, stable.requests, stable.alive) == (1, 3000, True)


def test_what_is_uploaded_names_the_container_s_routes_and_where_the_files_are() -> None:
    made = resources.model("chicago_taxi", 3, "gs://acme/serving/chicago_taxi/3", PLACE)
    assert made["artifactUri"] == "gs://acme/serving/chicago_taxi/3"
    assert made["containerSpec"] == {
        "imageUri": IMAGE,
        "ports": [{"containerPort": 8080}],
        "predictRoute": "/v1/models/chicago_taxi:predict",
        "healthRoute": "/v2/health/ready",
        "args": [
            "--path=$(AIP_STORAGE_URI)",
            "--name=chicago_taxi",
            "--version=3",
            "--host=0.0.0.0",
            "--port=8080",
            "--behind-proxy",
        ],
    }
    place = replace(PLACE, machine_type="n1-standard-4", accelerator="NVIDIA_TESLA_T4", accelerator_count=1)
    deployed = resources.deployed_model(MODEL, 3, replace(place, service_account="server@acme.test"))
    assert deployed["dedicatedResources"] == {
        "machineSpec": {
            "machineType": "n1-standard-4",
            "acceleratorType": "NVIDIA_TESLA_T4",
            "acceleratorCount": 1,
        },
        "minReplicaCount": 1,
        "maxReplicaCount": 2,
    }
    assert deployed["serviceAccount"] == "server@acme.test"


def test_at_every_point_of_a_sequence_somebody_serves() -> None:
    """Whatever is there, requests lead to what is desired, and each keeps a ready version in the traffic."""
    states = [Desired(1), Desired(2, "direct"), replace(Desired(1, "canary"), candidate=2, weight=20)]
    for state, there in itertools.product(states, [(), (1,), (2,), (3,), (1, 3), (2, 3), (1, 2)]):
        endpoint: dict[str, Any] = {"deployedModels": [{"id": str(each)} for each in there], "trafficSplit": {}}
        if there:
            endpoint["trafficSplit"] = {str(there[-1]): 100}
        for _ in range(6):
            request = resources.next_request(state, endpoint)
            if request is None:
                break
            _do(request, endpoint)
        wanted = {"1": 80, "2": 20} if state.candidate else {str(state.stable): 100}
        assert (request, endpoint["trafficSplit"]) == (None, wanted)


def _do(request: Any, endpoint: dict[str, Any]) -> None:
    ids = [each["id"] for each in endpoint["deployedModels"]]
    if isinstance(request, resources.Undeploy):
        assert not endpoint["trafficSplit"].get(request.identity)
        endpoint["deployedModels"] = [{"id": each} for each in ids if each != request.identity]
        return
    split = dict(request.split)
    if isinstance(request, resources.Deploy):
        ids.append(str(request.version))
        split = {str(request.version) if each == "0" else each: share for each, share in split.items()}
    assert set(split) <= set(ids) and sum(split.values()) == 100
    endpoint |= {"deployedModels": [{"id": each} for each in ids], "trafficSplit": split}


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ({"explicitBuckets": {"bounds": [10, 20, 30]}}, [0.01, 0.02, 0.03]),
        ({"exponentialBuckets": {"numFiniteBuckets": 2, "growthFactor": 2, "scale": 10}}, [0.01, 0.02, 0.04]),
        ({"linearBuckets": {"numFiniteBuckets": 2, "width": 10, "offset": 5}}, [0.005, 0.015, 0.025]),
    ],
)
def test_a_distribution_becomes_a_cumulative_histogram(options: dict[str, Any], bounds: list[float]) -> None:
    found = monitoring.histogram({"bucketOptions": options, "bucketCounts": ["1", "2", "0"]})
    assert list(found) == [*[pytest.approx(each) for each in bounds], math.inf]
    assert list(found.values()) == [1, 3, 3, 3]


def test_counts_of_codes_become_requests_and_errors_and_what_is_not_seen_is_no_evidence() -> None:
    def series(model: str, label: str, value: str, **point: Any) -> dict[str, Any]:
        labels = {"deployed_model_id": model, label: value}
        return {"metric": {"labels": labels}, "points": [{"value": point}]}

    counted = [
        series("3", "response_code", "2xx", int64Value="90"),
        series("3", "response_code", "4xx", int64Value="6"),
        series("3", "response_code", "503", int64Value="4"),
        series("4", "response_code", "2xx", int64Value="10"),
    ]
    distribution = {"bucketOptions": {"explicitBuckets": {"bounds": [10]}}, "bucketCounts": ["7", "3"]}
    took = [series("4", "latency_type", kind, distributionValue=distribution) for kind in ("total", "overhead")]
    stable, candidate = (monitoring.window(version, counted, took, 0.0, 60.0) for version in (3, 4))
    assert (stable.requests, stable.errors, stable.latency, stable.alive) == (100, 10, {}, True)
    assert (candidate.requests, candidate.errors, total(candidate.latency)) == (10, 0, 10)
    assert not monitoring.window(3, [], [], 0.0, 60.0).alive


REQUIRED = {"project": PROJECT, "region": REGION, "image": IMAGE}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "lacks project, region, image; give at least"),
        ({"projct": "x"}, "has no 'projct'. Did you mean 'project'"),
        (REQUIRED | {"region": "europe"}, "region is 'europe'; give a region, such as europe-west1"),
        (REQUIRED | {"image": "model_server"}, "image is 'model_server'; give an image by tag or digest"),
        (REQUIRED | {"min_replicas": 0}, "min_replicas is 0; give a whole number of at least 1"),
        (REQUIRED | {"min_replicas": 3.5}, "min_replicas is 3.5; give a whole number"),
        (REQUIRED | {"min_replicas": 3}, "min_replicas 3 is above max_replicas 2"),
        (REQUIRED | {"accelerator": "NVIDIA_L4"}, "accelerator and accelerator_count go together"),
        (REQUIRED | {"machine_type": "big"}, "machine_type is 'big'; give a machine type, such as n1-standard-2"),
        (REQUIRED | {"args": "--port"}, "args is '--port'; give a list of texts"),
        (REQUIRED | {"api_endpoint": "vertex"}, "api_endpoint is 'vertex'; give a URL"),
        (REQUIRED | {"api_endpoint": "https://me:word@vertex"}, "give a URL without a path, a user or a password"),
        (REQUIRED | {"args": ["--api-key=abc"]}, "args has --api-key with its value, and parameters are recorded"),
    ],
)
def test_options_that_cannot_be_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        target.check(Given(options, "canary", "gs://acme/serving", "chicago_taxi"))


def test_what_vertex_ai_cannot_read_or_name_is_told() -> None:
    with pytest.raises(UsageError, match="--serving-uri 's3://acme' can't be read by Vertex AI. Give one in Cloud"):
        target.check(Given(REQUIRED, "canary", "s3://acme", "taxi"))
    with pytest.raises(UsageError, match="The model name '1st' can't be"):
        target.check(Given(REQUIRED, "canary", "gs://acme", "1st"))
    target.check(Given(REQUIRED, "canary", None, None))


def test_options_as_json_and_protobuf_have_them() -> None:
    found = Place.from_json(REQUIRED | {"min_replicas": 2.0, "args": ["--token-file=/x"]})
    assert (found.min_replicas, found.args, found.api) == (
        2,
        ("--token-file=/x",),
        f"https://{REGION}-aiplatform.googleapis.com",
    )
    assert [resource_id(each) for each in ("chicago_taxi", "Taxi.v2")] == ["chicago-taxi", "taxi-v2"]
    for name in ("1st", "_", "a" * 64):
        with pytest.raises(UsageError, match="can't be a model's and an endpoint's id"):
            resource_id(name)
