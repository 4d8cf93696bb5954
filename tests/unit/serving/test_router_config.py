"""What the router is told, and what is read of what it tells."""

import json

from pipeyard.serving import router_config
from pipeyard.serving.envoy import EnvoyRouter, view_of
from pipeyard.serving.reconciling import ModelRoute
from pipeyard.serving.router_access import RouterAccess
from pipeyard.serving.serving_folder import ServedVersion

SPLIT = ModelRoute(((4, 10), (3, 90)), (4, 3), None, (4, 3))
SHADOW = ModelRoute(((3, 100),), (3,), 4, (3, 4))
STABLE, CANDIDATE = ServedVersion("a.b-c", 3), ServedVersion("a.b-c", 4)


def _routes(routes):
    (configuration,) = router_config.routes_file(routes)["resources"]
    return configuration["virtual_hosts"][0]["routes"]


def test_shares_are_weights_of_clusters_that_stand_in_for_each_other():
    split = _routes({"a.b-c": SPLIT})[3]["route"]
    drawn = split["weighted_clusters"]
    assert [(each["name"], each["weight"]) for each in drawn["clusters"]] == [("a.b-c@4+3", 10), ("a.b-c@3+4", 90)]
    assert drawn["use_hash_policy"] is True
    assert split["hash_policy"] == [{"header": {"header_name": "x-routing-key"}}]
    ports = {STABLE: 9003, CANDIDATE: 9004}
    found = router_config.clusters(ports, router_config.aggregates({"a.b-c": SPLIT}))["resources"]
    assert [each["name"] for each in found] == ["a.b-c@3", "a.b-c@4", "a.b-c@3+4", "a.b-c@4+3"]
    assert found[3]["cluster_type"]["typed_config"]["clusters"] == ["a.b-c@4", "a.b-c@3"]


def test_a_header_pins_a_version_and_one_that_isn_t_served_is_refused_with_those_that_are():
    pinned3, pinned4, unknown, _, *_ = _routes({"a.b-c": SPLIT})
    assert (pinned3["route"]["cluster"], pinned4["route"]["cluster"]) == ("a.b-c@3", "a.b-c@4")
    assert unknown["direct_response"]["status"] == 404
    assert "one of: 3, 4" in json.loads(unknown["direct_response"]["body"]["inline_string"])["error"]


def test_names_are_taken_as_they_are_written():
    assert _routes({"a.b-c": SPLIT})[0]["match"]["safe_regex"]["regex"] == r"/v[12]/models/a\.b\-c(?:[:/].*)?"


def test_a_shadow_is_a_mirror():
    route = _routes({"m": SHADOW})[3]["route"]
    assert [each["cluster"] for each in route["request_mirror_policies"]] == ["m@4"]
    assert [each["name"] for each in route["weighted_clusters"]["clusters"]] == ["m@3"]
    assert router_config.aggregates({"m": SHADOW}) == frozenset()


def test_a_client_has_to_end_its_headers():
    text = json.dumps(router_config.bootstrap("/x", 8500, 9901, RouterAccess()))
    assert '"request_headers_timeout": "10s"' in text


def test_nothing_listens_but_on_the_loopback():
    text = json.dumps(
        [router_config.bootstrap("/x", 8500, 9901, RouterAccess()), router_config.clusters({STABLE: 9003})]
    )
    assert text.count('"address": "127.0.0.1"') == 3
    assert "0.0.0.0" not in text


def test_the_same_is_written_with_the_same_version_and_read_again(tmp_path):
    router = EnvoyRouter(tmp_path / "router")
    assert router.routes() == {}
    first, other = router.set_routes({"a": SPLIT, "b": SHADOW}), router.set_routes({"a": SPLIT})
    assert router.set_routes({"a": SPLIT, "b": SHADOW}) == first != other
    assert router.routes() == {"a": SPLIT, "b": SHADOW}


def test_a_view_has_what_is_healthy_and_what_is_under_way():
    healthy = {"health_status": {"eds_health_status": "HEALTHY"}, "stats": [{"name": "rq_active", "value": "2"}]}
    sick = {"health_status": {"failed_active_health_check": True, "eds_health_status": "HEALTHY"}}
    told = {
        "cluster_statuses": [
            {"name": "m@3", "host_statuses": [healthy]},
            {"name": "m@4", "host_statuses": [sick]},
            {"name": "m@5"},
            {"name": "m@3+4"},
        ]
    }
    view = view_of(told, {"configs": [{"version_info": "abc"}]})
    assert view.healthy == {ServedVersion("m", 3)}
    assert view.active == {ServedVersion("m", 3): 2, ServedVersion("m", 4): 0, ServedVersion("m", 5): 0}
    assert "m@3+4" in view.clusters
    assert view.routes_version == "abc"


def test_a_router_that_says_nothing_is_no_error(tmp_path):
    assert not EnvoyRouter(tmp_path).view(1).answers
