"""Addresses of servers: which are on this machine or inside the cluster, so that secrets may go there unencrypted."""

import ipaddress
import re
from urllib.parse import urlsplit


def is_private(host: str) -> bool:
    """Whether what is sent there unencrypted stays on this machine, or in the cluster."""
    url = urlsplit(host)
    return url.scheme == "https" or is_loopback(url.hostname or "") or is_in_cluster(host)


def is_in_cluster(host: str) -> bool:
    """Whether a host is a service of the cluster that asks for it."""
    name = urlsplit(host).hostname or ""
    return name != "localhost" and re.fullmatch(r"[a-z0-9-]+|[a-z0-9.-]+\.svc(\.cluster\.local)?", name) is not None


def is_loopback(name: str) -> bool:
    """Whether a host's name is this machine's own."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
