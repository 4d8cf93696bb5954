"""Who we are to a server of Kubeflow Pipelines. Settings name where a secret is; it is read when a request is made.

Ways: a token from a variable or a file, the token that Kubernetes keeps up to date in a pod's volume, an identity token
for Google's Identity-Aware Proxy, and cookies (of Dex or oauth2-proxy, e.g.).
"""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import addresses
from pipeyard.system import google_login

if TYPE_CHECKING:
    from pipeyard.settings import Auth

_HIDDEN = "***"
# Shorter secrets could be words of a message.
_LEAST_TO_HIDE = 6


class SecretUnavailable(PipeyardError):
    """The secret can't be had.

    Attributes:
        passing: the same may succeed a little later.
    """

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass
class Credentials:
    """The header that says who we are.

    Attributes:
        origin: where the secret is from, for messages.
        remedy: what to do when it is refused.
        renewable: a later read may give another secret.
    """

    header: str = ""
    prefix: str = ""
    origin: str = ""
    remedy: str = "The environment has no `auth:` in settings.yaml; set one."
    renewable: bool = False
    read: Callable[[bool], str] = field(default=lambda renew: "", repr=False)
    _seen: set[str] = field(default_factory=set, repr=False)

    def headers(self, renew: bool = False) -> dict[str, str]:
        """Returns the header as of now; none without credentials.

        Args:
            renew: the server refused what was sent, so that a kept secret must be got anew.

        Raises:
            SecretUnavailable: the secret can't be had.
        """
        if not self.header:
            return {}
        secret = self.read(renew).strip()
        if not secret:
            raise SecretUnavailable(
                f"{self.origin} is empty, but should hold the secret that identifies us to the server. {self.remedy}"
            )
        if any(ord(character) < 32 for character in secret):
            raise SecretUnavailable(f"{self.origin} has several lines; one is expected. {self.remedy}")
        self._seen.add(secret)
        return {self.header: f"{self.prefix} {secret}".strip()}

    def hide(self, text: str) -> str:
        """Returns a text in which no secret is left that was sent."""
        for secret in sorted(self._seen, key=len, reverse=True):
            for part in (secret, *(value for _, _, value in (pair.partition("=") for pair in secret.split(";")))):
                if len(part) >= _LEAST_TO_HIDE:
                    text = text.replace(part, _HIDDEN)
        return text


def of(
    auth: "Auth",
    host: str,
    variables: Mapping[str, str] = os.environ,
    identity_tokens: Callable[[str, str], Any] | None = None,
) -> Credentials:
    """Returns the credentials that settings name. Nothing is read or asked for here.

    Args:
        host: the server's URL.
        variables: environment variables.
        identity_tokens: makes google-auth's credentials of an audience and a key's file; without a file, of what the
            machine has. Default: google-auth.

    Raises:
        PipeyardError: the secret would cross a network readable by all.
    """
    made = _of(auth, variables, identity_tokens or _google)
    if made.header and not addresses.is_private(host):
        raise PipeyardError(
            f"{host} isn't encrypted, and {made.origin} would cross the network readable by all. Use https://."
        )
    return made


def _of(auth: "Auth", variables: Mapping[str, str], identity_tokens: Callable[[str, str], Any]) -> Credentials:
    if auth.kind == "none":
        return Credentials()
    bearer: dict[str, Any] = {"header": "Authorization", "prefix": "Bearer"}
    if auth.kind == "iap":
        return Credentials(
            **bearer,
            origin="the identity token for IAP",
            remedy="Check `auth.iap_client_id`, and that this account may pass the proxy (IAP-secured Web App User).",
            renewable=True,
            read=_Identity(lambda: identity_tokens(auth.iap_client_id, auth.credentials_file)),
        )
    if auth.kind == "service_account":
        path = auth.service_account_file
        return Credentials(
            **bearer,
            origin=f"the token in {path}",
            remedy="Mount a token of the service account there, for the audience pipelines.kubeflow.org.",
            renewable=True,
            read=_file(path),
        )
    if auth.kind == "cookies":
        cookies = "Log in again in a browser, and put the cookies (NAME=VALUE; NAME=VALUE) there."
        return _held("Cookie", "", auth.cookies_env, auth.cookies_file, cookies, variables)
    token = "Put a token there that is valid; one in a file can be renewed while a run is waited for."
    return _held("Authorization", "Bearer", auth.token_env, auth.token_file, token, variables)


def _held(header: str, prefix: str, variable: str, path: str, remedy: str, variables: Mapping[str, str]) -> Credentials:
    """Returns credentials from a variable, or from a file."""
    return Credentials(
        header,
        prefix,
        origin=f"what is in {path}" if path else f"the environment variable {variable}",
        remedy=remedy,
        renewable=bool(path),
        read=_file(path) if path else _variable(variable, variables),
    )


def _variable(name: str, variables: Mapping[str, str]) -> Callable[[bool], str]:
    def read(_renew: bool) -> str:
        return variables.get(name, "")

    return read


def _file(path: str) -> Callable[[bool], str]:
    def read(_renew: bool) -> str:
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnavailable(
                f"{path} can't be read ({getattr(error, 'strerror', None) or 'no text'}); it is to hold a token."
            ) from error

    return read


class _Identity:
    """An identity token, kept until shortly before it expires by this machine's clock, or until it is refused."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._credentials: Any = None
        self._lock = threading.Lock()

    def __call__(self, renew: bool) -> str:
        from google.auth import exceptions

        with self._lock:
            try:
                if self._credentials is None:
                    self._credentials = self._make()
                if renew or not self._credentials.valid:
                    self._credentials.refresh(_transport())
            except exceptions.TransportError as error:
                raise SecretUnavailable(
                    f"Google can't be reached for a token for IAP: {google_login.said(error)}.", True
                ) from error
            except (exceptions.GoogleAuthError, OSError, ValueError) as error:
                raise SecretUnavailable(
                    f"There is no identity token for IAP: {google_login.said(error)}. "
                    "Set auth.credentials_file to a service account's key, or run where one is attached.",
                    getattr(error, "retryable", False),
                ) from error
            return self._credentials.token or ""


def _google(audience: str, path: str) -> Any:
    from google.oauth2 import id_token, service_account

    if path:
        return service_account.IDTokenCredentials.from_service_account_file(path, target_audience=audience)
    return id_token.fetch_id_token_credentials(audience, request=_transport())


def _transport() -> Any:
    from google.auth.transport.requests import Request

    return Request()
