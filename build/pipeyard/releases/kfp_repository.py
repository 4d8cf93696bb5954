"""What is released, in an Artifact Registry repository of format KFP: compiled pipelines, and components as such.

Such a repository takes kfp 2's compiled form alone, so a component's package has another digest than its
specification; a pipeline's is that of the release's file.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.packages import archives
from pipeyard.releases import upgrades
from pipeyard.releases.publication import Ledger, Move, Release
from pipeyard.releases.shipments import PIPELINES
from pipeyard.servers.vertex import templates
from pipeyard.system import yamls
from pipeyard_components import layout

_ADDRESS = re.compile(r"https?://[^/]+/[^/]+/[^/]+/?")
_OTHER_FORMAT = re.compile(r"-(docker|python|maven|npm|go|apt|yum|generic)\.pkg\.dev")


@dataclass(frozen=True)
class Uploader:
    """Uploads to a repository, or to none.

    Attributes:
        repository: `https://REGION-kfp.pkg.dev/PROJECT/REPOSITORY`; '' for none.
        session: see `templates.open_session`; None: nothing is uploaded.
    """

    repository: str
    session: Any

    @classmethod
    def of(cls, repository: str, rehearsal: bool) -> "Uploader":
        """Returns the one of a repository's address.

        Raises:
            PipeyardError: it can't be a repository, or there are no credentials for it.
        """
        wanted = "Write https://REGION-kfp.pkg.dev/PROJECT/REPOSITORY."
        if other := _OTHER_FORMAT.search(repository):
            raise PipeyardError(f"{repository} is of format {other[1]}, and templates need one of format KFP. {wanted}")
        if repository and not _ADDRESS.fullmatch(repository):
            raise PipeyardError(f"{repository!r} is no repository of format KFP. {wanted}")
        return cls(repository, templates.open_session(repository) if repository and not rehearsal else None)

    def compiled(self, specs: Mapping[str, bytes], files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Returns what is uploaded of a release, by package; nothing where there is no repository.

        Args:
            specs: component to its specification.
            files: of the release, by path.

        Raises:
            PipeyardError: kfp can't compile a component, or two are of one package.
        """
        return _compiled_all(specs, files) if self.repository else {}

    def released(self, ledger: Ledger, release: Release) -> dict[str, bytes]:
        """Returns what is uploaded of a release that is in a store; as `compiled`."""
        if not self.repository:
            return {}
        files = {path: upgrades.released_file(ledger, release, path) for path in release.files if _is_pipeline(path)}
        return self.compiled({name: ledger.spec(name, digest) for name, digest in release.components.items()}, files)

    def upload(self, packages: Mapping[str, bytes], release: Release, moves: Iterable[Move]) -> dict[str, str]:
        """Uploads packages; returns their versions' addresses, '' in a rehearsal. The same again changes nothing.

        Args:
            release, moves: packages are tagged with its commit, and with the channels that name it now.

        Raises:
            PipeyardError: the repository can't be reached, or refuses.
        """
        if self.session is None:
            return dict.fromkeys(packages, "")
        tags = [release.commit, *(each.channel for each in moves if each.now == release.commit)]
        return {name: templates.upload(self.repository, text, tags, self.session) for name, text in packages.items()}


def _compiled_all(specs: Mapping[str, bytes], files: Mapping[str, bytes]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    pipelines = {path: data for path, data in files.items() if _is_pipeline(path)}
    for where, document in [*pipelines.items(), *((name, _compiled(name, spec)) for name, spec in specs.items())]:
        package = _package(document)
        if package in found:
            raise PipeyardError(f"{where} and another pipeline or component are both called {package!r}. Rename one.")
        found[package] = document
    return found


def _is_pipeline(path: str) -> bool:
    return path.startswith(f"{PIPELINES}/") and path.endswith(f"/{archives.PIPELINE}")


def _compiled(name: str, spec: bytes) -> bytes:
    from kfp import compiler

    from pipeyard_components import loader

    component = loader.load(spec.decode(), name, layout.digest_of(spec), retype=False)
    with TemporaryDirectory() as folder:
        path = Path(folder, archives.PIPELINE)
        compiler.Compiler().compile(component, str(path))
        return path.read_bytes()


def _package(document: bytes) -> str:
    told = next(iter(yamls.load_all(document)))
    return str(told["pipelineInfo"]["name"])
