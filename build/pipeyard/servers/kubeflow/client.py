"""The clients that Kubeflow Pipelines generates from its API definition, made to say what went wrong.

Import this late: `kfp_server_api` has a module a message.
"""

import json
import os
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import kfp_server_api
import urllib3

from pipeyard.servers.kubeflow import deadlines
from pipeyard.servers.kubeflow.addresses import is_loopback

# Characters of an answer that are shown.
_SHOWN = 400


class NotJson(Exception):
    """An answer with status 200 that the API didn't give: most often a login page."""


@dataclass(frozen=True)
class Failure:
    """Why a call failed.

    Attributes:
        status: of the answer; 0: there was none.
        text: what the server, or the network, said.
        retry_after: seconds that the server asks to wait; 0: it doesn't.
        arrived: False if the server can't have got the request.
        late: it wasn't answered in time, so that the server may still be at it.
        certificate: the server's certificate isn't trusted, or the connection isn't encrypted as it should be.
    """

    status: int
    text: str
    retry_after: float = 0.0
    arrived: bool = True
    late: bool = False
    certificate: bool = False


class Client(kfp_server_api.ApiClient):
    """An API client that refuses answers that aren't JSON. The generated one makes empty messages of them."""

    def deserialize(self, response: Any, response_type: Any) -> Any:
        try:
            json.loads(response.data)
        except ValueError:
            raise NotJson(" ".join(str(response.data).split())[:_SHOWN]) from None
        return super().deserialize(response, response_type)


def make(host: str) -> Client:
    """Returns a client, which neither tries again nor follows a redirection by itself: its caller decides."""
    configuration = kfp_server_api.Configuration(host=host)
    configuration.retries = False
    configuration.ssl_ca_cert = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    configuration.proxy = _proxy(host)
    return Client(configuration)


def _proxy(host: str) -> str | None:
    url = urlsplit(host)
    if is_loopback(url.hostname or "") or urllib.request.proxy_bypass(url.netloc):
        return None
    return urllib.request.getproxies().get(url.scheme)


def failure(error: BaseException) -> Failure | None:
    """Returns what an exception of a call means; None: it is none that a call fails with."""
    if isinstance(error, AttributeError | UnicodeDecodeError) and isinstance(
        error.__context__, kfp_server_api.ApiException
    ):
        error = error.__context__  # the generated code trips over bodies that are missing or aren't UTF-8
    if isinstance(error, kfp_server_api.ApiException):
        if not error.status:
            return Failure(0, str(error.reason), arrived=False, certificate=True)
        pause = _seconds((error.headers or {}).get("Retry-After", ""))
        return Failure(error.status, _said(error), pause, late=error.status == HTTPStatus.GATEWAY_TIMEOUT)
    if isinstance(error, NotJson):
        return Failure(200, str(error))
    if isinstance(error, deadlines.Expired):
        return Failure(0, str(error), late=True)
    if isinstance(error, urllib3.exceptions.SSLError):
        return Failure(0, str(error), arrived=False, certificate=True)
    if isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return Failure(0, _root(error), arrived=False)
    if isinstance(error, urllib3.exceptions.HTTPError):
        return Failure(0, _root(error), late=isinstance(error, urllib3.exceptions.ReadTimeoutError))
    return None


def _said(error: kfp_server_api.ApiException) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or ""
    try:
        answer = json.loads(body)
        body = answer.get("error_message") or answer.get("message") or answer.get("error") or body
    except (ValueError, AttributeError):
        pass
    return f"{error.reason} {' '.join(str(body).split())[:_SHOWN]}".strip()


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0  # a date, or nothing


def _root(error: BaseException) -> str:
    while below := error.__cause__ or error.__context__:
        error = below
    return str(error) or type(error).__name__
