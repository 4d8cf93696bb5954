"""What is served, in lines for a terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.serving import serving_logs, serving_state
from pipeyard.serving.delayed_labels import Labelled
from pipeyard.serving.served_processes import log_name
from pipeyard.serving.serving_folder import ServingFolder
from pipeyard.serving.start_serving import is_served
from pipeyard.system import logs


def status(folder: ServingFolder) -> tuple[dict[str, Any], list[str]]:
    """Returns the state, empty if nothing is served, and lines that tell it."""
    state = serving_state.read(folder)
    if not is_served(folder):
        if not state:
            return {}, [f"Nothing of {folder.path} is served. Start it: pipeyard serve start"]
        return {}, [
            "The supervisor was killed; what it started may run. Go on: `pipeyard serve start`; end it: `... stop`."
        ]
    if not state:
        return {}, ["It is starting."]
    router = "" if state["router"]["alive"] else " The router is down."
    lines = [f"Models are served at {state['url']}.{router} Operators' page: {state['operators_url']}"]
    for name, model in state["models"].items():
        lines += _model(name, model)
    return state, lines


def logs_of(folder: ServingFolder, name: str, lines: int, remove: bool) -> list[str]:
    """Returns the end of a log, or which logs there are.

    Args:
        name: supervisor, router, MODEL/VERSION; empty: all names.
        remove: remove all logs, unless they are written now.

    Raises:
        PipeyardError: there is none of that name, or something is served whose logs are to be removed.
    """
    if remove:
        if is_served(folder):
            raise PipeyardError("Logs of what runs can't be removed. Run `pipeyard serve stop` first.")
        return [f"removed {each}" for each in serving_logs.keep(folder.logs, 0)]
    there = sorted(path.name for path in folder.logs.glob("*"))
    if not name:
        return [str(folder.logs / each) for each in there] or ["There are no logs."]
    for wanted in (log_name(name), name, f"rollout-{name}.jsonl"):
        if wanted in there:
            return logs.tail(folder.logs / wanted, lines).splitlines()
    raise PipeyardError(f"There is no log {name!r}. {near_misses(name, [each.removesuffix('.log') for each in there])}")


def labelled(found: Labelled) -> list[str]:
    """Returns what labels say, in lines."""
    lines = [f"{found.taken} labels taken."]
    for version, (count, mean) in found.means.items():
        value = f"{found.metric} {mean:.4g}" if count else "nothing to tell yet"
        lines.append(f"version {version}: {count} answers with a label, {value}")
    for each in found.comparisons[-1:]:
        what = "pairs" if each.paired else "labelled answers each"
        lines.append(
            f"candidate less stable: {each.difference:+.4g}, between {each.low:+.4g} and {each.high:+.4g} "
            f"(look {each.look}, {each.requests} {what})"
        )
    return [*lines, f"The next comparison is made at {found.needed} labelled answers of each version."]


def looks_of(folder: ServingFolder, model: str) -> Path:
    """Returns the log of what a model's rollouts were decided by.

    Raises:
        PipeyardError: there is none.
    """
    path = folder.looks(model)
    if not path.is_file():
        there = sorted(each.stem.removeprefix("rollout-") for each in folder.logs.glob("rollout-*.jsonl"))
        raise PipeyardError(
            f"{model!r} is neither a file nor a model with a logged rollout. {near_misses(model, there)}"
        )
    return path


def _model(name: str, model: Mapping[str, Any]) -> list[str]:
    lines = [f"{name}: {model['strategy']}, version {model['stable']} is stable"]
    for number, version in model["versions"].items():
        how = "ready" if version["healthy"] else "not ready" if version["alive"] else "down"
        share = "copies of all requests" if version["mirrored"] else f"{version['share']}% of requests"
        where = f", port {version['port']}, process {version['pid']}" if version["alive"] else ""
        failures = f", ended by itself {version['failures']} times" if version["failures"] else ""
        lines.append(f"  version {number}: {how}, {share}{where}{failures}")
    if model["candidate"] is not None and model["rollout"]:
        lines.append(f"  {model['rollout']['action'] or 'not looked at yet'}")
        lines += [f"    {reason}" for reason in model["rollout"]["reasons"]]
    if model["decided"]:
        decided = model["decided"]
        lines.append(f"  version {decided['version']} was {decided['action'].replace('_', ' ')} at {decided['at']}")
        lines += [f"    {reason}" for reason in decided["reasons"]]
    return lines + [f"  problem: {problem}" for problem in model["problems"]]
