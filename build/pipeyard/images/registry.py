"""A container registry over HTTP: what tags there are, giving a manifest another tag, and pushing small artifacts.

Protocol: OCI distribution specification v1.1, with Docker's token authentication. Images' layers are pushed by the
builder.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter

from pipeyard.errors import PipeyardError
from pipeyard.images.references import Reference
from pipeyard.system import jsons, retries
from pipeyard_components.registry_login import RegistryLogin, api_of, docker_login

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# Seconds to connect, and between two pieces of an answer.
TIMEOUT = (5, 30)

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


class Registry:
    """Talks to registries. Safe to use from several threads.

    Args:
        credentials: registry to user and password; None: anonymously.
        policy: of requests that fail for a transient reason.
    """

    def __init__(
        self, credentials: CredentialsLookup = docker_login, policy: retries.RetryPolicy = retries.REGISTRY
    ) -> None:
        self._credentials = credentials
        self._policy = policy
        self._session = requests.Session()
        repeated = retries.for_urllib3(
            policy,
            backoff_jitter=policy.pause,
            longest_told=policy.longest_pause,  # a registry may ask for hours
            allowed_methods=("GET", "HEAD", "PUT"),  # a PUT of a manifest may be repeated
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=repeated))
        self._logins: dict[str, RegistryLogin] = {}

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

    def push_blob(self, image: Reference, data: bytes) -> None:
        """Puts content into a repository, in one piece, where it isn't there yet.

        Raises:
            RegistryError: the registry can't be reached, or refuses.
        """
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        try:
            # All of it anew: an upload that broke off is over. So requests' own repetitions don't help there.
            answer = retries.answering(self._policy)(self._upload, image, digest, data)
        except requests.RequestException as error:
            raise _unreachable(image, error) from error
        self._check(answer, image, "written")

    def _upload(self, image: Reference, digest: str, data: bytes) -> requests.Response:
        found = self._send("HEAD", image, f"blobs/{digest}")
        if found.ok:
            return found
        begun = self._send("POST", image, "blobs/uploads/")
        if begun.status_code != HTTPStatus.ACCEPTED:
            return begun
        place = urljoin(begun.url, begun.headers["Location"])
        query = f"{'&' if '?' in place else '?'}digest={digest}"
        headers = {"Content-Type": "application/octet-stream"}
        done = self._ask("PUT", image, place + query, data=data, headers=headers)
        # One that was repeated, as its answer was lost, names an upload that is over.
        return self._send("HEAD", image, f"blobs/{digest}") if done.status_code == HTTPStatus.NOT_FOUND else done

    def _request(self, method: str, image: Reference, path: str, **options: Any) -> requests.Response:
        try:
            return self._send(method, image, path, **options)
        except requests.RequestException as error:
            raise _unreachable(image, error) from error

    def _send(self, method: str, image: Reference, path: str, **options: Any) -> requests.Response:
        return self._ask(method, image, f"{api_of(image.registry)}/{image.repository}/{path}", **options)

    def _ask(self, method: str, image: Reference, url: str, **options: Any) -> requests.Response:
        if image.registry not in self._logins:
            found = functools.partial(self._credentials, image.registry)
            login = RegistryLogin(api_of(image.registry), found, self._session, TIMEOUT, "pull,push")
            self._logins.setdefault(image.registry, login)
        return self._session.request(method, url, auth=self._logins[image.registry], timeout=TIMEOUT, **options)

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
