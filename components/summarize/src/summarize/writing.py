"""The summary's text."""

from summarize.status import SUCCEEDED, UNKNOWN, Status
from summarize.versions import Found, Version

DEPLOYED = "deployed"
NOT_DEPLOYED = "not deployed"
FAILED = "failed"


def outcome_of(status: Status, found: Found) -> str:
    """Returns `deployed` if this run pushed a version, `not deployed` if it ended well without, else `failed`.

    A run whose state the backend doesn't tell counts as ended well: nothing says that it failed.
    """
    if found.pushed:
        return DEPLOYED
    return NOT_DEPLOYED if status.state in (SUCCEEDED, UNKNOWN) else FAILED


def summary(pipeline: str, run_id: str, model_name: str, status: Status, found: Found) -> str:
    """Returns the summary as Markdown."""
    rows = [("State", status.state), ("Run", f"`{run_id}`"), ("Outcome", f"**{outcome_of(status, found)}**")]
    if status.job and status.job != run_id:
        rows.append(("Job", f"`{status.job}`"))
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    parts = [f"# {_cell(pipeline)}", f"| | |\n|---|---|\n{table}"]
    if status.error:
        fence = "`" * 4
        parts.append(f"## Error\n\n{fence}\n{status.error}\n{fence}")
    parts.append(f"## Deployment\n\n{_deployment(model_name, status, found)}")
    return "\n\n".join(parts) + "\n"


def _deployment(model_name: str, status: Status, found: Found) -> str:
    if found.problem:
        return f"Unknown: {found.problem}."
    if found.pushed:
        text = f"This run pushed {_version(model_name, found.pushed)}."
        if found.newest and found.newest != found.pushed:
            text += f" The newest is now {_version(model_name, found.newest)}, {_pusher(found.newest)}."
        if status.state not in (SUCCEEDED, UNKNOWN):
            text += f" The run then ended {status.state}: look at the error before relying on it."
        return text
    if found.newest:
        text = (
            f"This run pushed no version. The newest is {_version(model_name, found.newest)}, {_pusher(found.newest)}."
        )
        if status.state == SUCCEEDED:
            text += " If its deploy step was served from a cache, that is the version it stands for."
        return text
    return "This run pushed no version, and there is none." if model_name else "This run pushes no model."


def _version(model_name: str, version: Version) -> str:
    alias = f" as {version.alias}" if version.alias else ""
    return f"version {version.number} of {model_name}{alias} (`{version.uri}`)"


def _pusher(version: Version) -> str:
    return f"pushed by run `{version.run_id}`" if version.run_id else "whose run isn't recorded"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
