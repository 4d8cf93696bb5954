"""Logging in to container registries, for requests.

Protocol: RFC 7235 with the scheme Basic, and Docker's token authentication
(https://distribution.github.io/distribution/spec/auth/token/). Nothing is sent before a registry asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from pipeyard_components.auth import Token, is_loopback
from pipeyard_components.oci_layout import DOCKER_HUB

_DOCKER_HUB_API = "registry-1.docker.io"
_Credentials = Callable[[requests.PreparedRequest], requests.PreparedRequest]
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_REPOSITORY = re.compile(r"/v2/(.+)/(?:manifests|blobs|tags)/")


def api_of(registry: str) -> str:
    """Returns the URL of a registry's API; without encryption on this machine's own addresses alone.

    Args:
        registry: host, with a port if it has one.
    """
    host = _DOCKER_HUB_API if registry == DOCKER_HUB else registry
    scheme = "http" if is_loopback(urlsplit(f"//{host}").hostname or "") else "https"
    return f"{scheme}://{host}/v2"


def docker_login(registry: str) -> tuple[str, str] | None:
    """Returns user and password for a registry, from Docker's configuration and its credential helpers.

    None where there are none, or the library `docker`, which reads them, isn't installed.
    """
    try:
        from docker import auth
    except ModuleNotFoundError:
        return None
    host = auth.INDEX_URL if registry == DOCKER_HUB else registry
    found = auth.load_config().resolve_authconfig(host) or {}
    if token := found.get("IdentityToken") or found.get("identitytoken"):
        return "<token>", token
    user = found.get("Username") or found.get("username")
    return (user, found.get("Password") or found.get("password") or "") if user else None


class RegistryLogin(AuthBase):
    """What requests takes as `auth`: answers a registry's challenge, and keeps what it was granted, by repository.

    Args:
        api: of the registry, see `api_of`. Nobody else is told anything, whatever it redirects to.
        credentials: what requests takes as `auth`; asked when the registry asks, None for nobody in particular.
        session: asks for tokens.
        timeout: of such a request, as requests takes it.
        actions: asked for where a registry doesn't say which are needed.
    """

    def __init__(
        self,
        api: str,
        credentials: Callable[[], Any],
        session: requests.Session,
        timeout: Any,
        actions: str = "pull",
    ) -> None:
        self._origin = urlsplit(api)[:2]
        self._credentials = credentials
        self._session = session
        self._timeout = timeout
        self._actions = actions
        self._granted: dict[str, _Credentials] = {}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        granted = self._granted.get(_repository(request.url))
        if granted and self._is_own(request.url):
            request = granted(request)
        request.register_hook("response", self._answered)
        return request

    def _is_own(self, url: str | None) -> bool:
        return urlsplit(url or "")[:2] == self._origin

    def _answered(self, response: requests.Response, **options: Any) -> requests.Response:
        """Logs in and asks again where the registry wants a login."""
        if response.status_code != HTTPStatus.UNAUTHORIZED or not self._is_own(response.request.url):
            return response
        repository = _repository(response.request.url)
        granted = self._login(response.headers.get("WWW-Authenticate", ""), repository)
        if granted is None:
            return response
        self._granted[repository] = granted
        _ = response.content  # all of it, so that the connection can be used again
        response.close()
        again = granted(response.request.copy())
        answer: requests.Response = response.connection.send(again, **options)
        answer.history.append(response)
        answer.request = again
        return answer

    def _login(self, challenge: str, repository: str) -> _Credentials | None:
        scheme, _, rest = challenge.partition(" ")
        found = self._credentials()
        if isinstance(found, tuple):
            found = HTTPBasicAuth(*found)
        if isinstance(found, Token) or (scheme.lower() == "basic" and found):
            return cast(_Credentials, found)
        if scheme.lower() != "bearer":
            return None
        given = dict(_PARAMETER.findall(rest))
        realm = urlsplit(given.pop("realm", ""))
        if realm.scheme != "https" and not is_loopback(realm.hostname or ""):
            return None
        asked = {"scope": f"repository:{repository}:{self._actions}", **given}
        answer = self._session.get(realm.geturl(), params=asked, auth=found, timeout=self._timeout)
        if not answer.ok:
            return None
        told = answer.json()
        return _Bearer(told.get("token") or told.get("access_token") or "")


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _repository(url: str | None) -> str:
    found = _REPOSITORY.match(urlsplit(url or "").path)
    return found[1] if found else ""
