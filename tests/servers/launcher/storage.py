"""The object store, and where the launcher keeps its objects in a pod."""

from pathlib import Path
from typing import Any

# Scheme to the folder below `/` that the launcher takes for it.
_MOUNTS = {"minio": "minio", "s3": "s3", "gs": "gcs"}


def local_path(root: Path, uri: str) -> Path:
    """Returns where an artifact is in the pod whose `/` is `root`: `/minio/<bucket>/...` and so on.

    Raises:
        ValueError: the scheme is none that the launcher knows.
    """
    scheme, _, rest = uri.partition("://")
    if scheme not in _MOUNTS or not rest:
        raise ValueError(f"failed to generate local path for URI {uri}: unsupported storage scheme")
    return root / _MOUNTS[scheme] / rest


class Store:
    """Objects by URI. There are no folders: one without files in it doesn't exist.

    Args:
        filesystem: of fsspec.
        base: path in it that stands for all of the store: `<base>/<scheme>/<bucket>/<key>`.
    """

    def __init__(self, filesystem: Any, base: str) -> None:
        self._fs, self._base = filesystem, base.rstrip("/")

    def upload(self, local: Path, uri: str) -> None:
        """Uploads a file, or all files of a folder one by one. What is at the URI already stays, unless it is replaced.

        Raises:
            FileNotFoundError: nothing is at the local path.
        """
        if local.is_file():
            self._put(local, self._path(uri))
            return
        if not local.is_dir():
            raise FileNotFoundError(str(local))
        for file in sorted(item for item in local.rglob("*") if item.is_file()):
            self._put(file, f"{self._path(uri)}/{file.relative_to(local).as_posix()}")

    def download(self, uri: str, local: Path) -> None:
        """Downloads an object, or all whose keys are below the URI's; none are no error."""
        for key in self.keys(uri):
            target = local / key if key else local
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file("/".join(part for part in (self._path(uri), key) if part), str(target))

    def keys(self, uri: str) -> list[str]:
        """Returns the keys below a URI, relative to it; the URI itself, if it is an object, is the empty key."""
        path = self._path(uri)
        if self._fs.isfile(path):
            return [""]
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(path)
        except FileNotFoundError:
            return []
        return sorted(name.removeprefix(path).lstrip("/") for name in found)

    def read(self, uri: str) -> bytes:
        """Returns an object.

        Raises:
            FileNotFoundError: there is none.
        """
        return self._fs.cat_file(self._path(uri))

    def _put(self, file: Path, path: str) -> None:
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.put_file(str(file), path)

    def _path(self, uri: str) -> str:
        return f"{self._base}/{uri.replace('://', '/', 1).rstrip('/')}"
