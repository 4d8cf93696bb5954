"""Approvals of deployments, recorded in git: `approvals/<environment>/<pipeline>-<digest>.yaml` in the deployed commit.

The digest covers the whole desired state: pipeline with its images, parameters, schedule, place. So an approval is for
that alone, and holds for later commits that don't change it. Who committed the file is who approved.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeyard.deployment.desired import Desired
from pipeyard.errors import PipeyardError
from pipeyard.repository.changes import Git
from pipeyard.system import files, yamls

FOLDER = "approvals"
DIGITS = 16


@dataclass(frozen=True)
class Approval:
    """An approval.

    Attributes:
        by: name and address of who committed it.
        commit: that added it.
    """

    path: str
    by: str
    commit: str


def path_of(environment: str, pipeline: str, digest: str) -> str:
    """Returns the file's path in the repository."""
    return f"{FOLDER}/{environment}/{pipeline}-{digest[:DIGITS]}.yaml"


def find(git: Git, desired: Desired) -> Approval | None:
    """Returns the approval that the checked-out commit has; None if it has none. What isn't committed doesn't count.

    Raises:
        PipeyardError: the file approves something else.
    """
    path = path_of(desired.environment.name, desired.pipeline, desired.digest)
    if not git(["ls-tree", "--name-only", "HEAD", "--", path]).strip():
        return None
    try:
        said = yamls.load(git(["show", f"HEAD:./{path}"]))
        wanted = (desired.environment.name, desired.pipeline, desired.digest)
        fits = (said["environment"], said["pipeline"], str(said["digest"])) == wanted
    except (yaml.YAMLError, KeyError, TypeError):
        fits = False
    if not fits:
        raise PipeyardError(f"{path} isn't an approval of what it is named after. Write it with `pipeyard approve`.")
    commit, by = git(["log", "-1", "--format=%H %an <%ae>", "HEAD", "--", path]).strip().split(" ", 1)
    return Approval(path, by, commit)


def missing(desired: Desired) -> str:
    """Returns what is missing, and how to give it."""
    name, digest = desired.environment.name, desired.digest[:DIGITS]
    return (
        f"{name} needs an approval of {desired.pipeline} {digest}: HEAD has no "
        f"{path_of(name, desired.pipeline, digest)}. Look at `pipeyard plan --env {name} {desired.pipeline}`; then run "
        f"`pipeyard approve --env {name} {desired.pipeline} {desired.digest}` and commit what it writes, or deploy "
        "on a terminal, which asks."
    )


def write(root: Path, environment: str, pipeline: str, digest: str, reason: str) -> Path:
    """Writes an approval to be committed.

    Args:
        digest: 64 hex digits, as the plan tells it.
        reason: for readers.

    Raises:
        PipeyardError: it isn't a digest.
    """
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise PipeyardError(f"{digest!r} isn't the 64 hex digits that `pipeyard plan --env {environment}` tells.")
    path = root / path_of(environment, pipeline, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"environment": environment, "pipeline": pipeline, "digest": digest, "reason": reason}
    files.write_whole(path, "# An approval of a deployment; see docs/deploying.md.\n" + yaml.safe_dump(said))
    return path
