"""What a build is started with: by hand, or as a trigger would."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeyard.ci import cloudbuild, documents, flow, push_triggers
from pipeyard.errors import PipeyardError, near_misses
from pipeyard.repository.changes import Git

_LOCAL = "local"


@dataclass(frozen=True)
class BuildStart:
    """What is built, and how.

    Attributes:
        filename: of the build, relative to the project's root.
        substitutions: built in ones, and those that the trigger sets.
        triggered: False: by hand. Then Cloud Build says nothing of a commit.
    """

    filename: str
    substitutions: Mapping[str, str]
    triggered: bool


def by_hand(filename: str) -> BuildStart:
    """Returns what `gcloud builds submit` starts with."""
    return BuildStart(filename or cloudbuild.FILES[flow.DELIVERY], _always(), False)


def by_trigger(root: Path, name: str, git: Git, commit: str, ref: str = "") -> BuildStart:
    """Returns what a trigger starts with when it is run for a commit.

    Args:
        ref: branch or tag that is as if pushed; '' for the one that is checked out or, failing that, the only one
            that the trigger is for.

    Raises:
        PipeyardError: there is no such trigger, or it isn't for that branch or tag.
    """
    folder = root / cloudbuild.TRIGGERS
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise PipeyardError(f"No trigger {name!r} in {folder}. {near_misses(name, known)}")
    trigger = documents.load(folder / f"{name}.yaml").content
    push = push_triggers.push_of(trigger)
    kind = "tag" if "tag" in push else "branch"
    if kind not in push:
        raise PipeyardError(f"The trigger {name} is for no push. Name one that is: {', '.join(known)}.")
    if ref and not push_triggers.fits(push, kind, ref):
        raise PipeyardError(f"The trigger {name} isn't for the {kind} {ref}. Give --ref with one that it is for.")
    ref = ref or _pushed(git, push, kind)
    if not ref:
        raise PipeyardError(f"Which {kind} does the trigger {name} build? Give --ref.")
    values = {
        **_always(),
        "TRIGGER_NAME": trigger.get("name", name),
        "COMMIT_SHA": commit,
        "REVISION_ID": commit,
        "SHORT_SHA": commit[:7],
        "REF_NAME": ref,
        f"{kind.upper()}_NAME": ref,
        "REPO_NAME": root.name,
        "REPO_FULL_NAME": root.name,
        "TRIGGER_BUILD_CONFIG_PATH": trigger["filename"],
    }
    return BuildStart(trigger["filename"], {**values, **_texts(trigger.get("substitutions"))}, True)


def _always() -> dict[str, str]:
    return {"PROJECT_ID": _LOCAL, "PROJECT_NUMBER": "0", "LOCATION": _LOCAL, "BUILD_ID": str(uuid.uuid4())}


def _pushed(git: Git, push: Mapping[str, Any], kind: str) -> str:
    """Returns the branch or tag that is checked out, if it fits, or the only one that does; '' if neither is known."""
    ref = _current(git, kind)
    if ref and push_triggers.fits(push, kind, ref):
        return ref
    only = re.fullmatch(r"\^([\w-]+)\$", push[kind])
    return only[1] if only and not push.get("invertRegex") else ""


def _current(git: Git, kind: str) -> str:
    if kind == "branch":
        return git(["branch", "--show-current"]).strip()
    tags = git(["tag", "--points-at", "HEAD"]).split()
    return tags[0] if tags else ""


def _texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: str(value) for key, value in (values or {}).items()}
