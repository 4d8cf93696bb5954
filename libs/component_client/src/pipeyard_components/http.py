"""Stores behind HTTP: bounded in time, tried again where that helps, with credentials that stay with their host."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from pipeyard_components import places, retries
from pipeyard_components.layout import IndexEntry
from pipeyard_components.places import FileMissing, PlaceUnavailable

_log = logging.getLogger(__name__)

# A specification has some KiB, an index of ten thousand components some MiB.
_LARGEST = 32 * 2**20
_ATTEMPTS = retries.COMPONENTS.attempts or 1
# A whole answer may take this many times what one wait of it may.
_PATIENCE = 6
# So long a host that can't be reached isn't asked again, lest each of many components wait for it anew.
_DOWN_SECONDS = 30


class HttpPlace:
    """A prefix of http(s) URLs.

    Args:
        prefix: what comes before `/<name>/component.yaml`.
        auth: what requests takes as such; None goes by the user's netrc file.
        timeout: seconds to wait for a connection, and for each part of an answer.
        login: what to do where a login is wanted.
        headers: of each request.
    """

    def __init__(
        self,
        prefix: str,
        auth: Any,
        timeout: float,
        login: str = "give this prefix credentials with auth=, or in your netrc file",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._prefix = prefix.rstrip("/")
        self._session = RedirectingSession(auth, timeout)
        self._session.headers.update(headers or {})
        self._timeout = timeout
        self._login = login
        self._down: tuple[float, str] | None = None

    def location(self, path: str) -> str:
        return f"{self._prefix}/{quote(path, safe='/:')}" if path else self._prefix

    def read(self, path: str) -> bytes:
        if self._down and time.monotonic() < self._down[0]:
            raise PlaceUnavailable(f"not asked again: {self._down[1]}")
        url = self.location(path)
        status, body, final = self._answer(url)
        phrase = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
        phrase += _moved(url, final)
        if status == HTTPStatus.OK:
            return body
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise FileMissing(phrase)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            if _host(final) != _host(url):
                raise PlaceUnavailable(
                    f"{phrase}, which gets no credentials of {_host(url)}: give its own URL as a prefix"
                )
            raise PlaceUnavailable(f"{phrase}: {self._login}")
        raise PlaceUnavailable(phrase)

    def entries(self) -> dict[str, IndexEntry]:
        return places.read_entries(self)

    def versions(self, name: str) -> IndexEntry:
        return self.entries().get(name, IndexEntry())

    def _answer(self, url: str) -> tuple[int, bytes, str]:
        """Returns the status, the body, and the address that gave them, which a redirection may have led to."""
        asked = str(requests.Request("GET", url).prepare().url)  # as requests writes it, for comparison
        for tries_left in reversed(range(_ATTEMPTS)):
            try:
                with contextlib.closing(self._session.get(url, stream=True, timeout=self._timeout)) as response:
                    if response.url != asked:
                        _log.info("%s: the answer comes%s.", url, _moved(asked, response.url))
                        _refuse_page(response, asked)
                    return response.status_code, self._body(response), response.url if response.url != asked else url
            except HTTPError as error:  # the session's own retries end where the body begins
                if not tries_left:
                    raise PlaceUnavailable(f"the answer broke off {_ATTEMPTS} times") from error
            except requests.RequestException as error:
                last = error.request.url if error.request is not None else asked
                reason = _reason(error) + _moved(asked, str(last))
                if isinstance(error, (requests.ConnectionError, requests.Timeout)):
                    self._down = (time.monotonic() + _DOWN_SECONDS, reason)
                raise PlaceUnavailable(reason) from error
        raise AssertionError  # the last turn returns or raises

    def _body(self, response: requests.Response) -> bytes:
        end = time.monotonic() + self._timeout * _PATIENCE
        body = bytearray()
        while part := _come(response.raw):
            body += part
            if len(body) > _LARGEST:
                raise PlaceUnavailable(f"larger than {_LARGEST // 2**20} MiB, which no component is")
            if time.monotonic() > end:
                raise PlaceUnavailable(f"timed out: the answer took longer than {self._timeout * _PATIENCE:g} s")
        return bytes(body)


class RedirectingSession(requests.Session):
    """Repeats what failed for the moment.

    Redirected to another host, requests drops the header Authorization; this one drops whatever `auth` may add.
    """

    def __init__(self, auth: Any, timeout: float) -> None:
        super().__init__()
        self.auth = auth
        repeated = retries.for_urllib3(
            retries.COMPONENTS,
            connect=1,  # each may take the whole timeout
            read=1,
            longest_told=timeout,  # when to come back is the server's to say; how long we wait is ours
        )
        for scheme in ["http://", "https://"]:
            self.mount(scheme, HTTPAdapter(max_retries=repeated))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        super().rebuild_auth(prepared_request, response)
        if self.should_strip_auth(response.request.url, prepared_request.url):
            ours = {name.lower() for name in self.headers} | {"authorization"}  # that one is of the new host's netrc
            for name in [name for name in prepared_request.headers if name.lower() not in ours]:
                del prepared_request.headers[name]


def _come(raw: Any) -> bytes:
    """Returns what has come of a body, where requests' own would wait for a full block, however slowly it comes."""
    if hasattr(raw, "read1"):
        part: bytes = raw.read1(64 * 1024, decode_content=True)
    else:  # urllib3 below 2, which waits for a block: for a short one
        part = raw.read(1024, decode_content=True)
    return part


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"


def _moved(url: str, final: str) -> str:
    """Says where a redirection led, without what may be secret in an address: a login, a query (signed URLs)."""
    if final == url:
        return ""
    return f" from {_host(final)}{urlsplit(final).path}, where it was redirected to"


def _refuse_page(response: requests.Response, url: str) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.ok and kind in {"text/html", "application/xhtml+xml"}:
        raise PlaceUnavailable(f"a page for people{_moved(url, response.url)}: it may want a login, see auth=")


def _reason(error: BaseException) -> str:
    """Says what happened in a few words: the innermost cause, without URLs, which may hold secrets."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (a for a in error.args[::-1] if isinstance(a, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error, (requests.Timeout, HTTPTimeoutError)) and not isinstance(error, NewConnectionError):
        return "timed out"
    text = re.sub(r"<[^>]*>:? *|\w+\(.*?\): *|https?://\S+", "", str(error)).strip()
    return f"unreachable: {text or type(error).__name__}"
