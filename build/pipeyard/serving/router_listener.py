"""Envoy's listener: where it listens, by TLS or not, and which tokens it wants.

https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/api_key_auth_filter
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pipeyard.serving.router_access import RouterAccess

_TYPES = "type.googleapis.com/envoy."
_AUTH = "envoy.filters.http.api_key_auth"
_UNAUTHORIZED = 401
# A client that sends its headers byte by byte would hold a connection for ever: Envoy waits without an end by default.
_HEADERS_SECONDS = 10
_NO_TOKEN = {"error": "A token is needed: send `authorization: Bearer TOKEN`."}
# Secrets are named in the file that Envoy watches and where it is asked for.
_CERTIFICATE = "certificate"


def listener(
    port: int, access: RouterAccess, tokens: Sequence[str], routes: Mapping[str, Any], secret: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the listener.

    Args:
        tokens: one of which a client has to send; none: anybody is answered.
        routes: source of the routes.
        secret: source of the certificate, if `access` has one.
    """
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPES}extensions.filters.http.router.v3.Router"},
    }
    manager: dict[str, Any] = {
        "@type": f"{_TYPES}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "models",
        "preserve_external_request_id": True,
        "request_headers_timeout": f"{_HEADERS_SECONDS}s",
        "rds": {"route_config_name": "models", "config_source": routes},
        "http_filters": [*([_authentication(tokens)] if tokens else []), router],
    }
    if tokens:
        manager["local_reply_config"] = _told_as_json()
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if access.tls_cert:
        chain["transport_socket"] = _tls(secret)
    return {
        "name": "models",
        "address": {"socket_address": {"address": access.host, "port_value": port}},
        "enable_reuse_port": False,  # two routers on one port would each get some of the requests
        "filter_chains": [chain],
    }


def without_token() -> dict[str, Any]:
    """Returns what a route says that is open to anybody, such as the one of a load balancer's health check."""
    disabled = {"@type": f"{_TYPES}config.route.v3.FilterConfig", "disabled": True}
    return {"typed_per_filter_config": {_AUTH: disabled}}


def certificate(access: RouterAccess) -> dict[str, Any]:
    """Returns the certificate as Envoy reads it: again when a file is moved into its folder, so that it can be renewed.

    https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret#certificate-rotation
    """
    pair = {
        "certificate_chain": {"filename": access.tls_cert},
        "private_key": {"filename": access.tls_key},
        "watched_directory": {"path": str(PurePath(access.tls_cert).parent)},
    }
    kind = f"{_TYPES}extensions.transport_sockets.tls.v3.Secret"
    return {"@type": kind, "name": _CERTIFICATE, "tls_certificate": pair}


def _tls(source: Mapping[str, Any]) -> dict[str, Any]:
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [{"name": _CERTIFICATE, "sds_config": source}],
    }
    kind = f"{_TYPES}extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": kind, "common_tls_context": common},
    }


def _authentication(tokens: Sequence[str]) -> dict[str, Any]:
    return {
        "name": _AUTH,
        "typed_config": {
            "@type": f"{_TYPES}extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
            "credentials": [{"key": token, "client": f"token-{number}"} for number, token in enumerate(tokens)],
            "key_sources": [{"header": "authorization"}],
            # Model servers don't know it, and keep headers of nobody.
            "forwarding": {"hide_credentials": True},
        },
    }


def _told_as_json() -> dict[str, Any]:
    status = {"comparison": {"op": "EQ", "value": {"default_value": _UNAUTHORIZED, "runtime_key": "unauthorized"}}}
    header = {"header": {"key": "www-authenticate", "value": "Bearer"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    told = {
        "filter": {"status_code_filter": status},
        "headers_to_add": [header],
        "body": {"inline_string": json.dumps(_NO_TOKEN) + "\n"},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/json",
        },
    }
    return {"mappers": [told]}
