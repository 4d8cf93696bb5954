"""Where images come from, as an in-toto statement with SLSA's provenance: https://slsa.dev/spec/v1.0/provenance.

It holds neither times nor the number of a run: the same images of the same commit have the same provenance, whichever
run made them.
"""

import importlib.metadata
import json
import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pipeyard.errors import PipeyardError
from pipeyard.images import image_lock
from pipeyard.images.references import parse
from pipeyard.repository.changes import Git
from pipeyard.repository.commits import Commit
from pipeyard.repository.project import Project
from pipeyard.system import jsons
from stepkit import digest

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://pipeyard.dev/build/v1"
_SSH = re.compile(r"(?:[\w.-]+@)?([\w.-]+):(?!//)(\S+)")


def statement(project: Project, built: image_lock.Lock, commit: Commit, source: str, builder: str) -> str:
    """Returns the provenance of all images of a build as JSON.

    Args:
        source: URL of the repository; '' if it has none.
        builder: URI of who builds; what is trusted to have done as it says.
    """
    own = {name: image.reference() for name, image in built.images.items()}
    below = {name: parse(text) for name, text in built.bases.items()}
    own |= {name: image for name, image in below.items() if name in project.bases}
    outer = {name: image for name, image in below.items() if name not in project.bases}
    checkout = {"uri": f"git+{source}@{commit.sha}"} if source else {"name": "source"}
    locks = [path for name in built.images if (path := project.components[name].folder / "uv.lock").exists()]
    document = {
        "_type": STATEMENT,
        "subject": [{"name": image.name, "digest": _sha256(image.digest)} for image in own.values()],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"commit": commit.tag, "components": sorted(built.images)},
                "internalParameters": {"sources": {name: image.source for name, image in built.images.items()}},
                "resolvedDependencies": [
                    {**checkout, "digest": {"gitCommit": commit.sha}},
                    *(
                        {"name": name, "uri": f"docker://{image}", "digest": _sha256(image.digest)}
                        for name, image in outer.items()
                    ),
                    *(
                        {"name": path.relative_to(project.root).as_posix(), "digest": {"sha256": digest.of_file(path)}}
                        for path in locks
                    ),
                ],
            },
            "runDetails": {
                "builder": {"id": builder, "version": {"pipeyard": importlib.metadata.version("pipeyard")}},
                "byproducts": [{"name": image_lock.FILE, "digest": {"sha256": digest.of_text(built.text())}}],
            },
        },
    }
    return json.dumps(document, indent=2) + "\n"


def subjects(text: str) -> dict[str, str]:
    """Returns the images that a statement describes: repository to digest."""
    document = jsons.load(text)
    return {each["name"]: f"sha256:{each['digest']['sha256']}" for each in document["subject"]}


def source_of(git: Git) -> str:
    """Returns the URL of the repository that was cloned, without credentials; '' if absent."""
    try:
        url = git(["remote", "get-url", "origin"]).strip()
    except PipeyardError:
        return ""
    if ssh := _SSH.fullmatch(url):
        return f"ssh://{ssh[1]}/{ssh[2]}"
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http", "ssh", "git"}:
        return ""  # a folder of this machine, which says nothing elsewhere
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _sha256(text: str) -> dict[str, Any]:
    return {"sha256": text.removeprefix("sha256:")}
