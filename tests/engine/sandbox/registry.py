"""A container registry as a process of its own, and what tests ask of it."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path

from . import engine, programs

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Registry:
    """A registry that serves on 127.0.0.1.

    Attributes:
        host: with its port.
        folder: with all that it keeps.
    """

    host: str
    folder: Path

    def tags(self, repository: str) -> list[str]:
        """Returns a repository's tags, sorted; none if there is no such repository."""
        answer = self._get(f"{repository}/tags/list")
        return sorted(json.load(answer)["tags"] or []) if answer else []

    def manifest(self, repository: str, reference: str) -> Mapping | None:
        """Returns the manifest of a tag or digest; None if there is none."""
        answer = self._get(f"{repository}/manifests/{reference}")
        return json.load(answer) if answer else None

    def config(self, repository: str, reference: str) -> Mapping:
        """Returns an image's configuration, by tag or digest."""
        manifest = self.manifest(repository, reference)
        answer = manifest and self._get(f"{repository}/blobs/{manifest['config']['digest']}")
        if not answer:
            raise LookupError(f"{repository}:{reference}")
        return json.load(answer)

    def missing(self, repository: str) -> list[str]:
        """Returns what tags of a repository promise and the registry hasn't: manifests, configurations, layers."""
        found = []
        for tag in self.tags(repository):
            manifest = self.manifest(repository, tag)
            if manifest is None:
                found.append(tag)
                continue
            blobs = [manifest["config"], *manifest["layers"]]
            found += [
                f"{tag}: {blob['digest']}"
                for blob in blobs
                if not self._get(f"{repository}/blobs/{blob['digest']}", "HEAD")
            ]
        return found

    def _get(self, path: str, method: str = "GET") -> HTTPResponse | None:
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers={"Accept": _MANIFEST}, method=method)
        try:
            return urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise


@contextlib.contextmanager
def running(logins: str = "", redirect: str = "") -> Iterator[Registry]:
    """Runs a registry, and removes all that it had.

    Args:
        logins: lines of Apache's htpasswd, by bcrypt; nobody else gets anything. Empty: everybody does.
        redirect: URL that serves the folder `data` of the registry; blobs are read from there. Empty: from itself.

    Raises:
        programs.NotAvailableError: the machine can't run one.
    """
    program = programs.find("docker-registry")
    with engine.state_folder() as folder:
        host = f"127.0.0.1:{programs.free_port()}"
        config = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": host},
        }
        if redirect:
            config["middleware"] = {"storage": [{"name": "redirect", "options": {"baseurl": redirect}}]}
        if logins:
            (folder / "logins").write_text(f"{logins}\n", encoding="utf-8")
            config["auth"] = {"htpasswd": {"realm": "registry", "path": str(folder / "logins")}}
        (folder / "config.yml").write_text(json.dumps(config), encoding="utf-8")
        found = Registry(host, folder)
        server = programs.Background(
            [program, "serve", str(folder / "config.yml")], folder / "log", lambda: _answers(host)
        )
        try:
            yield found
        finally:
            server.stop()


def _answers(host: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}/v2/", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code == HTTPStatus.UNAUTHORIZED
    except OSError:
        return False
