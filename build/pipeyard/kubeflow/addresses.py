"""Addresses of servers: which are on this machine or inside the cluster, so that secrets may go there unencrypted."""

import ipaddress
from urllib.parse import urlsplit

from pipeyard.errors import PipeyardError


def normal(host: str, where: str) -> str:
    """Returns the address without a slash at its end.

    Args:
        where: what it was set as, for the message.

    Raises:
        PipeyardError: it isn't an address of HTTP.
    """
    url = urlsplit(host)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise PipeyardError(f"{where} is {host!r}. Write it as https://HOST or http://HOST:PORT.")
    if url.username or url.password:
        raise PipeyardError(f"{where} has a password in it. Take it out, and set `auth:` instead.")
    return host.rstrip("/")


def is_private(host: str) -> bool:
    """Whether what is sent there unencrypted stays on this machine, or in the cluster."""
    url = urlsplit(host)
    name = url.hostname or ""
    in_cluster = "." not in name or name.endswith((".svc", ".svc.cluster.local"))
    return url.scheme == "https" or is_loopback(name) or in_cluster


def is_loopback(name: str) -> bool:
    """Whether a host's name is this machine's own."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
