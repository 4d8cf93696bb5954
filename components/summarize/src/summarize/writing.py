"""The summary's text."""

from summarize.status import NOT_TOLD, Status
from summarize.versions import Found, Version

DEPLOYED = "deployed"
NOT_DEPLOYED = "not deployed"
FAILED = "failed"


def outcome_of(status: Status, found: Found) -> str:
    """Returns `deployed` if this run pushed a version, `not deployed` if it ended well without, else `failed`.

    A run whose state the backend doesn't tell is settled by what it pushed; without a version it counts as not
    deployed: nothing says that it failed.
    """
    if found.pushed:
        return DEPLOYED
    return NOT_DEPLOYED if status.succeeded or status.untold else FAILED


def summary(pipeline: str, run_id: str, model_name: str, status: Status, found: Found) -> str:
    """Returns the summary as Markdown."""
    rows = [("State", _state(status)), ("Run", f"`{run_id}`"), ("Outcome", f"**{outcome_of(status, found)}**")]
    if status.job and status.job != run_id:
        rows.append(("Job", f"`{status.job}`"))
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    parts = [f"# {_cell(pipeline)}", f"| | |\n|---|---|\n{table}"]
    if status.state == NOT_TOLD:
        parts.append(f"## How it ended\n\n{_settled(found)}")
    if status.error:
        fence = "`" * 4
        parts.append(f"## Error\n\n{fence}\n{status.error}\n{fence}")
    parts.append(f"## Deployment\n\n{_deployment(model_name, status, found)}")
    return "\n\n".join(parts) + "\n"


def _state(status: Status) -> str:
    return f"not told (the backend said {status.said})" if status.state == NOT_TOLD else status.state


def _settled(found: Found) -> str:
    untold = "The backend doesn't tell how this run ended"
    if found.pushed:
        return f"{untold}, but its version is in the serving layout: its deploy step did its work."
    if found.problem:
        return f"{untold}, and the serving layout can't be read. Look at the run's steps."
    return (
        f"{untold}: either a condition wasn't met (the data or the model isn't good enough), or a step couldn't be "
        "started. Which of them, the run's steps show: those of an unmet condition are skipped."
    )


def _deployment(model_name: str, status: Status, found: Found) -> str:
    if found.problem:
        return f"Unknown: {found.problem}."
    if found.pushed:
        text = f"This run pushed {_version(model_name, found.pushed)}."
        if found.newest and found.newest != found.pushed:
            text += f" The newest is now {_version(model_name, found.newest)}, {_pusher(found.newest)}."
        if not (status.succeeded or status.untold):
            text += f" The run then ended {status.state}: look at the error before relying on it."
        return text
    if found.newest:
        text = (
            f"This run pushed no version. The newest is {_version(model_name, found.newest)}, {_pusher(found.newest)}."
        )
        if status.succeeded:
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
