"""Packages in Cloud Storage.

`<pipeline>/<commit>-<content>/workflow.tar.gz` and `vertex.json` never change; `<pipeline>/latest.json` names the one
that was uploaded last, and moves when all of it is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeyard.deployment import pointers
from pipeyard.packages import archives, packages
from pipeyard.packages.packages import Package
from pipeyard.system.bucket import Bucket

LATEST = "latest.json"
_TYPES = {archives.WORKFLOW: "application/gzip", archives.VERTEX: "application/json"}


@dataclass(frozen=True)
class Upload:
    """A package in a bucket.

    Attributes:
        version: its folder, `<commit>-<content>`; another commit's if that had the same content.
        files: name to `gs://` URI.
        created: False if it was there already.
        latest: commit that `latest.json` names now.
    """

    pipeline: str
    version: str
    files: Mapping[str, str]
    created: bool
    latest: str

    @property
    def uri(self) -> str:
        """Of `workflow.tar.gz`."""
        return self.files[archives.WORKFLOW]


def find(bucket: Bucket, package: Package) -> str | None:
    """Returns the `<commit>-<content>` under which a package of this content is whole in the bucket.

    Raises:
        PipeyardError: Cloud Storage refuses or can't be reached.
    """
    paths = set(bucket.paths(f"{package.pipeline}/"))
    folders = {path.split("/")[1] for path in paths if path.count("/") == 2}
    whole = [
        each
        for each in sorted(folders)
        if each.endswith(f"-{package.content}")
        and all(f"{package.pipeline}/{each}/{name}" in paths for name in package.files)
    ]
    return package.version if package.version in whole else next(iter(whole), None)


def upload(bucket: Bucket, package: Package, precedes: Callable[[str, str], bool]) -> Upload:
    """Uploads a package and points `latest.json` at it; idempotent by content.

    Args:
        precedes: true if a commit is known to come before another: `latest.json` isn't taken back to such a one.

    Raises:
        PipeyardError: there is another package of this name, or Cloud Storage refuses or can't be reached.
    """
    found = find(bucket, package)
    version = found or package.version
    folder = f"{package.pipeline}/{version}"
    if found is None:
        # The archive last: where it is, all is.
        for name in sorted(package.files, key=lambda name: name == archives.WORKFLOW):
            bucket.keep(f"{folder}/{name}", package.files[name], _TYPES[name])
    files = {name: bucket.uri(f"{folder}/{name}") for name in package.files}
    named = {
        "pipeline": package.pipeline,
        "commit": package.commit,
        "version": version,
        "pipeline_sha256": package.sha256,
        "files": files,
    }
    now = pointers.move(bucket, f"{package.pipeline}/{LATEST}", named, precedes)
    return Upload(package.pipeline, version, files, found is None, now["commit"])


def latest(bucket: Bucket, pipeline: str) -> dict[str, Any] | None:
    """Returns what `latest.json` says; None before the first upload.

    Raises:
        PipeyardError: it is damaged, or Cloud Storage refuses or can't be reached.
    """
    return pointers.read(bucket, f"{pipeline}/{LATEST}")


def fetch(bucket: Bucket, pipeline: str, version: str) -> Package | None:
    """Returns a package that was uploaded as `<commit>-<content>`; None if absent.

    Raises:
        PipeyardError: it is damaged, or Cloud Storage refuses or can't be reached.
    """
    folder = f"{pipeline}/{version}"
    workflow = bucket.read(f"{folder}/{archives.WORKFLOW}")
    if workflow is None:
        return None
    vertex = bucket.read(f"{folder}/{archives.VERTEX}")
    uri = bucket.uri(f"{folder}/{archives.WORKFLOW}")
    return packages.of_archive(workflow[0], uri, vertex[0] if vertex else None)
