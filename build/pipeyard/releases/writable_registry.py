"""Component stores in OCI registries, to publish to; see `oci_layout` for what lies where.

A registry refuses a manifest whose blobs it hasn't, so an artifact is there whole or not at all. It has no conditional
write: what a tag names is looked at just before it is moved, which leaves a moment to others.
"""

import hashlib
from collections.abc import Mapping

from pipeyard.errors import PipeyardError
from pipeyard.images.image_lock import Lock
from pipeyard.images.references import Reference
from pipeyard.images.registry import Manifest, Registry, RegistryError
from pipeyard.packages import archives
from pipeyard.releases.shipments import PIPELINES
from pipeyard.releases.writable_places import NO_FILE, PlaceChanged
from pipeyard.system import jsons
from pipeyard_components import layout, oci_layout
from pipeyard_components.oci import OciPlace
from pipeyard_components.oci_layout import Address, Artifact
from pipeyard_components.places import FileMissing, PlaceUnavailable, WrongDigest


class WritableRegistry(OciPlace):
    """A path in a registry.

    Args:
        store: `oci://HOST/PATH`.
        registry: pushes there.
        timeout: seconds that a read may wait.
    """

    def __init__(self, store: str, registry: Registry, timeout: float) -> None:
        super().__init__(store, None, timeout)
        self._pusher = registry

    def look(self, path: str) -> tuple[bytes, str]:
        address = oci_layout.address(path)
        if address.digest:
            return self.read_at(address), address.digest
        manifest = self.manifest(address)
        return self.blob(address.repository, oci_layout.loaded_layer(manifest)), hashlib.sha256(manifest).hexdigest()

    def write(self, path: str, data: bytes, over: str | None = None) -> None:
        """See `Writable`: what is named by its digest can't be another's, so `over` counts for tags alone."""
        try:
            address = oci_layout.address(path)
        except FileMissing as error:
            raise PlaceUnavailable(str(error)) from error
        if address.digest:
            self._keep(address, data)
            return
        artifacts = self._artifacts(address, path, data)
        self._refuse_another(address, over)
        for repository, artifact in artifacts.items():
            self._push(Address(repository, address.tag), artifact)

    def _keep(self, address: Address, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        if address.file in {"", layout.RELEASE_FILE} and digest != address.digest:
            if b"\r\n" in data:
                raise PlaceUnavailable("it has Windows' line ends, and a registry names bytes as they are. Write Unix'")
            raise WrongDigest(f"its content has sha256:{digest}")
        self._blob_to(address.repository, data)

    def _artifacts(self, address: Address, path: str, data: bytes) -> dict[str, Artifact]:
        """Returns what a tag is to name, by repository; what others point at comes first."""
        if path == layout.INDEX or address.tag.startswith("_"):
            return {address.repository: Artifact(oci_layout.DOCUMENT, {path.rpartition("/")[2]: data})}
        if address.repository != layout.RELEASES:
            return {address.repository: Artifact(oci_layout.COMPONENT, {layout.SPEC: data})}
        digests: dict[str, str] = jsons.load(data)["files"]
        files = {title: self.blob(layout.RELEASES, digest) for title, digest in digests.items()}
        pipelines: dict[str, dict[str, bytes]] = {}
        for title, content in files.items():
            folder, _, rest = title.partition("/")
            if folder == PIPELINES:
                name, _, file = rest.partition("/")
                pipelines.setdefault(f"{layout.RELEASES}/{name}", {})[file] = content
        artifacts = {
            repository: Artifact(oci_layout.PIPELINE, _compiled_first(each)) for repository, each in pipelines.items()
        }
        return {**artifacts, layout.RELEASES: Artifact(oci_layout.RELEASE, {layout.RELEASE_FILE: data, **files})}

    def _refuse_another(self, address: Address, over: str | None) -> None:
        try:
            manifest = self.manifest(address)
        except FileMissing:
            if over in {None, NO_FILE}:
                return
            raise PlaceChanged("it was removed meanwhile") from None
        oci_layout.loaded_layer(manifest)  # raises for an image, which nothing may take the place of
        if over is not None and hashlib.sha256(manifest).hexdigest() != over:
            raise PlaceChanged("there is another one already" if over == NO_FILE else "it was changed meanwhile")

    def _push(self, address: Address, artifact: Artifact) -> None:
        for data in [oci_layout.EMPTY, *artifact.layers.values()]:
            self._blob_to(address.repository, data)
        body = artifact.manifest
        manifest = Manifest(f"sha256:{hashlib.sha256(body).hexdigest()}", body, oci_layout.MANIFEST)
        try:
            self._pusher.tag(manifest, self._repository(address.repository).tagged(address.tag))
        except RegistryError as error:
            raise PlaceUnavailable(str(error)) from error

    def _blob_to(self, repository: str, data: bytes) -> None:
        try:
            self._pusher.push_blob(self._repository(repository), data)
        except RegistryError as error:
            raise PlaceUnavailable(str(error)) from error

    def _repository(self, repository: str) -> Reference:
        return Reference(self.registry, f"{self.path}/{repository}")


def _compiled_first(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Returns a pipeline's files in an order in which the first is what is loaded of them."""
    return dict(sorted(files.items(), key=lambda file: file[0] != archives.PIPELINE))


def refuse_images(store: str, built: Lock) -> None:
    """Raises PipeyardError if a component's artifacts would go to the repository of its image, under the same tags."""
    scheme, _, place = store.rstrip("/").partition("://")
    if scheme != oci_layout.SCHEME:
        return
    for name, image in built.images.items():
        if image.repository == f"{place}/{name}":
            raise PipeyardError(
                f"{image.repository} has the images of {name}, and tags of both would be alike. Give the store a path "
                f"of its own beside them: {oci_layout.SCHEME}://{place}/specs."
            )
