"""Who one is to a private place. Secrets are named here, never held or shown: they are read where a request is made."""

import base64
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeyard_components.errors import PipeyardError

if TYPE_CHECKING:
    import requests  # late otherwise: what publishes components needs none of it


@dataclass(frozen=True)
class Token:
    """A token from an environment variable, sent as `<header>: <scheme> <token>`.

    Args:
        variable: the environment variable's name.
        header: e.g. `PRIVATE-TOKEN` for GitLab.
        scheme: what is before the token; nothing if empty.
    """

    variable: str
    header: str = "Authorization"
    scheme: str = "Bearer"

    def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers[self.header] = f"{self.scheme} {_secret(self.variable)}".strip()
        return request


@dataclass(frozen=True)
class Basic:
    """A user's name, and the environment variable that holds the password."""

    user: str
    variable: str

    def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        pair = f"{self.user}:{_secret(self.variable)}"
        request.headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return request


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise PipeyardError(
            f"The environment variable {variable!r} isn't set; it holds the secret of a component store."
        )
    return value


def for_prefix(auth: Any, prefix: str, prefixes: list[str]) -> Any:
    """Returns what of `auth` is meant for `prefix`.

    Args:
        auth: a mapping from URL prefixes to credentials (the longest that fits counts), or credentials for all.
        prefixes: all prefixes of the store.

    Raises:
        PipeyardError: credentials would go to several hosts, or over a network unencrypted.
    """
    if auth is None:
        return None
    if isinstance(auth, Mapping):
        fitting = [key for key in auth if f"{prefix.rstrip('/')}/".startswith(f"{key.rstrip('/')}/")]
        found = auth[max(fitting, key=len)] if fitting else None
    else:
        origins = {urlsplit(other)[:2] for other in prefixes}
        if len(origins) > 1:
            raise PipeyardError(
                f"auth= would go to {len(origins)} hosts alike. Say which it is for: "
                f"auth={{{prefix!r}: Token('NAME_OF_THE_VARIABLE')}}."
            )
        found = auth
    if found is not None and prefix.startswith("http://") and not is_loopback(urlsplit(prefix).hostname or ""):
        raise PipeyardError(f"Credentials for {prefix} would cross the network readable by all. Use https://.")
    return found


def is_loopback(host: str) -> bool:
    """True for this machine's own names and addresses."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
