"""Stores in OCI registries (oci://HOST/PATH), see `oci_layout`. All that is read is verified.

Protocol: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

from requests.utils import get_netrc_auth

from pipeyard_components import layout, oci_layout, places, registry_login
from pipeyard_components.errors import PipeyardError
from pipeyard_components.http import HttpPlace, RedirectingSession
from pipeyard_components.layout import IndexEntry
from pipeyard_components.oci_layout import Address
from pipeyard_components.places import FileMissing, WrongDigest

# A registry answers an artifact that has none of these with an error, or with another manifest.
_ACCEPT = (
    f"{oci_layout.MANIFEST}, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, */*"
)


class OciPlace:
    """A path in a registry.

    Args:
        prefix: `oci://HOST/PATH`.
        auth: what requests takes as such; None goes by Docker's logins, and then by the user's netrc file.
        timeout: seconds to wait for a connection, and for each part of an answer.

    Raises:
        PipeyardError: it names no host or no path.
    """

    def __init__(self, prefix: str, auth: Any, timeout: float) -> None:
        self._prefix = prefix.rstrip("/")
        url = urlsplit(self._prefix)
        self.registry = url.netloc
        self.path = url.path.strip("/")
        if not self.registry or not self.path:
            raise PipeyardError(f"{prefix} names no place in a registry. Write {oci_layout.SCHEME}://HOST/PATH.")
        api = registry_login.api_of(self.registry)

        def credentials() -> Any:
            return auth or registry_login.docker_login(self.registry) or get_netrc_auth(api)

        login = registry_login.RegistryLogin(api, credentials, RedirectingSession(None, timeout), timeout)
        wanted = (
            f"log in (docker login {self.registry}, which pipeyard-components[oci] reads), or give "
            "this prefix credentials with auth=, or in your netrc file"
        )
        self._http = HttpPlace(api, login, timeout, wanted, {"Accept": _ACCEPT})

    def location(self, path: str) -> str:
        if not path:
            return self._prefix
        try:
            found = oci_layout.address(path)
        except FileMissing:
            return f"{self._prefix}/{path}"
        return f"{self._prefix}/{found}{f' ({found.file})' if found.file else ''}"

    def read(self, path: str) -> bytes:
        return self.read_at(oci_layout.address(path))

    def read_at(self, address: Address) -> bytes:
        """Returns what is at an address; raises as `read`."""
        if address.digest and address.file not in {"", layout.RELEASE_FILE}:
            release = self.blob(address.repository, address.digest)
            return self.blob(address.repository, oci_layout.file_of_release(release, address.file))
        if address.digest:
            return self.blob(address.repository, address.digest)
        return self.blob(address.repository, oci_layout.loaded_layer(self.manifest(address)))

    def manifest(self, address: Address) -> bytes:
        """Returns the manifest that a tag names; raises as `read`."""
        return self._http.read(f"{self.path}/{address.repository}/manifests/{address.tag}")

    def entries(self) -> dict[str, IndexEntry]:
        return places.read_entries(self)

    def versions(self, name: str) -> IndexEntry:
        return self.entries().get(name, IndexEntry())

    def blob(self, repository: str, digest: str) -> bytes:
        """Returns the content with a digest (64 hex digits); raises as `read`, and WrongDigest."""
        try:
            data = self._http.read(f"{self.path}/{repository}/blobs/sha256:{digest}")
        except FileMissing as error:
            raise FileMissing(f"no blob sha256:{digest[:12]} ({error})") from error
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise WrongDigest(f"wrong digest: its content has sha256:{found}; refused")
        return data
