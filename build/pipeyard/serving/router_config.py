"""Envoy's configuration, from what is routed: https://www.envoyproxy.io/docs/envoy/latest/api-v3/api.

Clusters and routes are files that Envoy watches. A route names versions' clusters through aggregate clusters, in which
other versions follow the one that was drawn: while it isn't healthy, or doesn't answer, they take its requests.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pipeyard.serving import router_listener
from pipeyard.serving.reconciling import ModelRoute
from pipeyard.serving.router_access import LOOPBACK, RouterAccess
from pipeyard.serving.serving_folder import ServedVersion

# A model, and versions of which the first is asked, and the next where it can't be.
Aggregate = tuple[str, tuple[int, ...]]

CLUSTERS = "clusters.json"
ROUTES = "routes.json"
BOOTSTRAP = "envoy.json"
CERTIFICATE = "certificate.json"
KEY_HEADER = "x-routing-key"
VERSION_HEADER = "x-model-version"
_OURS = "pipeyard"
_TYPES = "type.googleapis.com/envoy."
# More than clients here will have: what a model server can't take it refuses itself.
_MOST_REQUESTS = 100_000
_CONNECT_SECONDS = 0.25
_HEALTH_SECONDS = 0.5
# Of one that isn't healthy: so long it may take until one that has come back is used.
_UNHEALTHY_SECONDS = 0.2
_HEALTH_TIMEOUT_SECONDS = 1
# Model servers close connections after 75 seconds without a request; ours are closed before.
_IDLE_SECONDS = 30


def bootstrap(
    folder: str, port: int, admin_port: int, access: RouterAccess, tokens: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns what Envoy starts with.

    Args:
        folder: of the watched files.
        port: clients'.
        admin_port: Envoy's own, which may stop it: of this machine alone.
        access: where clients come in.
        tokens: one of which they have to send; none: anybody is answered.
    """
    routes, secret = _watched(f"{folder}/{ROUTES}"), _watched(f"{folder}/{CERTIFICATE}")
    return {
        "node": {"id": "pipeyard", "cluster": "pipeyard"},
        "admin": {"address": _address(admin_port)},
        "dynamic_resources": {"cds_config": _watched(f"{folder}/{CLUSTERS}")},
        "static_resources": {"listeners": [router_listener.listener(port, access, tokens, routes, secret)]},
    }


def certificate_file(access: RouterAccess) -> dict[str, Any]:
    """Returns the file of the certificate."""
    return _resources([router_listener.certificate(access)])


def clusters(ports: Mapping[ServedVersion, int], following: Collection[Aggregate] = ()) -> dict[str, Any]:
    """Returns the file of clusters: one a version that has a process, and those in which versions follow each other."""
    found = [_cluster(version, port) for version, port in sorted(ports.items())]
    return _resources([*found, *map(_aggregate, sorted(following))])


def aggregates(routes: Mapping[str, ModelRoute]) -> frozenset[Aggregate]:
    """Returns the aggregate clusters that routes name, or will when another version answers."""
    return frozenset(
        _drawn(model, number, each.answering)
        for model, each in routes.items()
        for number in {*dict(each.shares), *each.answering}
        if {number, *each.answering} != {number}
    )


def aggregate_name(aggregate: Aggregate) -> str:
    """Returns what an aggregate cluster is called; of one version, what the version's own is."""
    model, (first, *others) = aggregate
    return "+".join([cluster_name(ServedVersion(model, first)), *map(str, others)])


def routes_file(routes: Mapping[str, ModelRoute]) -> dict[str, Any]:
    """Returns the file of routes, of all models."""
    found = [route for model, each in sorted(routes.items()) for route in _routes_of(model, each)]
    served = ", ".join(sorted(routes)) or "none yet"
    health = {
        "match": {"path": "/v2/health/live"},
        "direct_response": {"status": 200},
        **router_listener.without_token(),
    }
    unknown = {
        "match": {"prefix": "/"},
        **_refusal(404, f"No model is served at this path. Ask /v1/models/NAME:predict; models: {served}."),
    }
    host = {"name": "models", "domains": ["*"], "routes": [*found, health, unknown]}
    # Our own words for the same, so that the next supervisor goes on from what is in force.
    ours = {model: dataclasses.asdict(each) for model, each in sorted(routes.items())}
    configuration = {
        "@type": f"{_TYPES}config.route.v3.RouteConfiguration",
        "name": "models",
        "virtual_hosts": [host],
        "metadata": {"filter_metadata": {_OURS: ours}},
    }
    return _resources([configuration])


def written_routes(content: Mapping[str, Any]) -> dict[str, ModelRoute]:
    """Returns the routes that `routes_file` made a file of."""
    (configuration,) = content["resources"]
    ours = configuration["metadata"]["filter_metadata"][_OURS]
    return {
        model: ModelRoute(
            tuple((number, share) for number, share in each["shares"]),
            tuple(each["answering"]),
            each["mirror"],
            tuple(each["pinned"]),
        )
        for model, each in ours.items()
    }


def cluster_name(version: ServedVersion) -> str:
    """Returns what a version's cluster is called; no model's name has an @."""
    return f"{version.model}@{version.number}"


def _routes_of(model: str, route: ModelRoute) -> Iterator[dict[str, Any]]:
    path = {"safe_regex": {"regex": rf"/v[12]/models/{re.escape(model)}(?:[:/].*)?"}}
    for number in sorted(route.pinned):
        pinned = {"name": VERSION_HEADER, "string_match": {"exact": str(number)}}
        yield {
            "match": {**path, "headers": [pinned]},
            "route": {"cluster": cluster_name(ServedVersion(model, number)), "timeout": "60s"},
        }
    there = ", ".join(map(str, sorted(route.pinned)))
    yield {
        "match": {**path, "headers": [{"name": VERSION_HEADER, "present_match": True}]},
        **_refusal(
            404, f"This version of {model} isn't served. Give {VERSION_HEADER} one of: {there}; or leave it out."
        ),
    }
    drawn = [
        {"name": aggregate_name(_drawn(model, number, route.answering)), "weight": share}
        for number, share in route.shares
    ]
    action: dict[str, Any] = {
        "weighted_clusters": {"clusters": drawn, "use_hash_policy": True},
        "hash_policy": [{"header": {"header_name": KEY_HEADER}}],
        "timeout": "60s",
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset",
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
            "retry_priority": {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {
                    "@type": f"{_TYPES}extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                    "update_frequency": 1,
                },
            },
        },
    }
    if route.mirror is not None:
        cluster = cluster_name(ServedVersion(model, route.mirror))
        action["request_mirror_policies"] = [{"cluster": cluster, "disable_shadow_host_suffix_append": True}]
    yield {"match": path, "route": action}


def _drawn(model: str, number: int, answering: tuple[int, ...]) -> Aggregate:
    return model, (number, *(each for each in sorted(answering) if each != number))


def _aggregate(aggregate: Aggregate) -> dict[str, Any]:
    model, numbers = aggregate
    return {
        "@type": f"{_TYPES}config.cluster.v3.Cluster",
        "name": aggregate_name(aggregate),
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _unlimited(),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": f"{_TYPES}extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": [cluster_name(ServedVersion(model, each)) for each in numbers],
            },
        },
    }


def _cluster(version: ServedVersion, port: int) -> dict[str, Any]:
    name = cluster_name(version)
    http = {
        "@type": f"{_TYPES}extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": f"{_IDLE_SECONDS}s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": _address(port)}}
    health = {
        "timeout": f"{_HEALTH_TIMEOUT_SECONDS}s",
        "interval": f"{_HEALTH_SECONDS}s",
        "unhealthy_interval": f"{_UNHEALTHY_SECONDS}s",
        "no_traffic_interval": f"{_UNHEALTHY_SECONDS}s",
        "no_traffic_healthy_interval": f"{_HEALTH_SECONDS}s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/v2/health/ready"},
    }
    return {
        "@type": f"{_TYPES}config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},  # else one that isn't healthy is asked anyway
        "ignore_health_on_host_removal": True,
        "circuit_breakers": _unlimited(),
        "health_checks": [health],
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _unlimited() -> dict[str, Any]:
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(names, _MOST_REQUESTS)]}


def _refusal(status: int, text: str) -> dict[str, Any]:
    return {
        "direct_response": {"status": status, "body": {"inline_string": json.dumps({"error": text}) + "\n"}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def _watched(path: str) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": path}}


def _resources(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns resources as a file has them, under a version by which the one in force can be told."""
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return {"version_info": digest[:16], "resources": found}
