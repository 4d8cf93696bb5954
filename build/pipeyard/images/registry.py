"""A container registry over HTTP: what tags there are, and giving a manifest another tag.

Protocol: OCI distribution specification v1.1, with Docker's token authentication. Layers are pushed by the builder.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from pipeyard.errors import PipeyardError
from pipeyard.images.references import DOCKER_HUB, Reference
from pipeyard.system import jsons, retries

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# Seconds to connect, and between two pieces of an answer.
TIMEOUT = (5, 30)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$")

CredentialsLookup = Callable[[str], tuple[str, str] | None]


@dataclass(frozen=True)
class Manifest:
    """An image's manifest as the registry keeps it.

    Attributes:
        body: its bytes, of which `digest` is the sha256.
        media_type: of the body.
    """

    digest: str
    body: bytes
    media_type: str


@dataclass(frozen=True)
class Layer:
    """A layer as a manifest has it.

    Attributes:
        bytes: compressed.
        gzip: compressed so.
    """

    digest: str
    bytes: int
    gzip: bool


class RegistryError(PipeyardError):
    """A registry can't be reached, or answers with an error."""


def docker_credentials(registry: str) -> tuple[str, str] | None:
    """Returns user and password for a registry, from Docker's configuration and its credential helpers."""
    from docker import auth

    host = auth.INDEX_URL if registry == DOCKER_HUB else registry
    found: Mapping[str, Any] = auth.load_config().resolve_authconfig(host) or {}
    if token := found.get("IdentityToken") or found.get("identitytoken"):
        return "<token>", token
    user = found.get("Username") or found.get("username")
    return (user, found.get("Password") or found.get("password") or "") if user else None


class Registry:
    """Talks to registries. Safe to use from several threads.

    Args:
        credentials: registry to user and password; None: anonymously.
        policy: of requests that fail for a transient reason.
    """

    def __init__(
        self, credentials: CredentialsLookup = docker_credentials, policy: retries.RetryPolicy = retries.REGISTRY
    ) -> None:
        self._credentials = credentials
        self._session = requests.Session()
        repeated = retries.for_urllib3(
            policy,
            backoff_jitter=policy.pause,
            longest_told=policy.longest_pause,  # a registry may ask for hours
            allowed_methods=("GET", "HEAD", "PUT"),  # a PUT of a manifest may be repeated
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=repeated))
        self._tokens: dict[tuple[str, str], str] = {}

    def manifest(self, image: Reference) -> Manifest | None:
        """Returns the manifest of a tag or digest; None where the registry hasn't it.

        Raises:
            RegistryError: the registry can't be reached, refuses, or sends other bytes than the digest says.
        """
        answer = self._request("GET", image, _manifest(image), headers={"Accept": ", ".join(MANIFESTS)})
        if answer.status_code == 404:
            return None
        self._check(answer, image, "read")
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        if image.digest and digest != image.digest:
            raise RegistryError(
                f"{image} came with the digest {digest}: the registry, or something before it, is broken."
            )
        return Manifest(digest, answer.content, answer.headers.get("Content-Type", MANIFESTS[0]))

    def tag(self, manifest: Manifest, image: Reference) -> None:
        """Gives a manifest, which the repository has, the tag of `image`. Nothing is pulled or built.

        Raises:
            RegistryError: the registry can't be reached, or refuses.
        """
        headers = {"Content-Type": manifest.media_type}
        answer = self._request("PUT", image, _manifest(image), data=manifest.body, headers=headers)
        self._check(answer, image, "written")

    @staticmethod
    def layers(manifest: Manifest) -> list[Layer]:
        """Returns a manifest's layers, the lowest first."""
        return [
            Layer(layer["digest"], layer["size"], layer.get("mediaType", "").endswith("gzip"))
            for layer in jsons.load(manifest.body).get("layers", [])
        ]

    def unpacked_bytes(self, image: Reference, layer: Layer) -> int | None:
        """Returns the size of a layer's tar archive; None if that can't be told.

        gzip notes it, modulo 2^32, in the last four bytes of what it made (RFC 1952, 2.3.1). No more is fetched.

        Raises:
            RegistryError: the registry can't be reached.
        """
        if not layer.gzip:
            return None
        headers = {"Range": "bytes=-4", "Accept-Encoding": "identity"}
        with self._request("GET", image, f"blobs/{layer.digest}", headers=headers, stream=True) as answer:
            if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
                return None
            try:
                return int.from_bytes(answer.content, "little")
            except requests.RequestException as error:
                raise _unreachable(image, error) from error

    def _request(self, method: str, image: Reference, path: str, **options: Any) -> requests.Response:
        host = "registry-1.docker.io" if image.registry == DOCKER_HUB else image.registry
        scheme = "http" if _LOOPBACK.match(host) else "https"
        url = f"{scheme}://{host}/v2/{image.repository}/{path}"
        headers = dict(options.pop("headers"))
        key = (image.registry, image.repository)
        try:
            if key in self._tokens:
                headers["Authorization"] = self._tokens[key]
            answer = self._session.request(method, url, headers=headers, timeout=TIMEOUT, **options)
            if answer.status_code == 401 and (login := self._login(answer, image)):
                self._tokens[key] = headers["Authorization"] = login
                answer = self._session.request(method, url, headers=headers, timeout=TIMEOUT, **options)
        except requests.RequestException as error:
            raise _unreachable(image, error) from error
        return answer

    def _login(self, refused: requests.Response, image: Reference) -> str | None:
        """Returns an Authorization header that answers the registry's challenge; None if there is no way."""
        scheme, _, rest = refused.headers.get("WWW-Authenticate", "").partition(" ")
        found = self._credentials(image.registry)
        if scheme.lower() == "basic" and found:
            return requests.auth._basic_auth_str(*found)  # pylint: disable=protected-access  # requests has no other
        if scheme.lower() != "bearer":
            return None
        challenge = dict(_CHALLENGE.findall(rest))
        realm = challenge.pop("realm", "")
        scope = {"scope": f"repository:{image.repository}:pull,push", **challenge}
        answer = self._session.get(realm, params=scope, auth=found, timeout=TIMEOUT)
        if not answer.ok:
            return None
        granted = answer.json()
        return "Bearer " + (granted.get("token") or granted.get("access_token") or "")

    @staticmethod
    def _check(answer: requests.Response, image: Reference, what: str) -> None:
        if answer.ok:
            return
        remedy = "Try again later."
        if answer.status_code in (401, 403):
            remedy = f"Log in (docker login {image.registry}) with an account that may push there."
        elif answer.status_code < 500:
            remedy = "Check the name of the registry and the repository."
        text = " ".join(answer.text.split())[:200]
        raise RegistryError(f"{image} can't be {what}: {answer.status_code} {answer.reason} {text}. {remedy}")


def _unreachable(image: Reference, error: Exception) -> RegistryError:
    return RegistryError(
        f"The registry {image.registry} can't be reached for {image}: {_reason(error)}. "
        "Check its address and the network, then run again."
    )


def _manifest(image: Reference) -> str:
    return f"manifests/{image.digest or image.tag}"


def _reason(error: Exception) -> str:
    cause: BaseException = error
    while below := cause.__cause__ or cause.__context__:
        cause = below
    return str(cause) or type(cause).__name__
