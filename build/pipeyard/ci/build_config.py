"""A build of Cloud Build's as it is executed: steps, what each waits for, limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeyard.ci import substitutions
from pipeyard.errors import PipeyardError

AT_ONCE = "-"  # in `waitFor`: waits for nothing
# What Cloud Build takes where a build doesn't say.
_TIMEOUT = 3600.0


@dataclass(frozen=True)
class BuildStep:
    """One step.

    Attributes:
        name: what it is called in reports: its id, or its number.
        image: that it runs in.
        waits_for: indices of steps.
        timeout: seconds; 0: as long as the build may take.
        passing_codes: exit codes other than 0 with which the build goes on.
        secrets: names of variables that it gets from a secret manager.
    """

    index: int
    name: str
    image: str
    waits_for: tuple[int, ...]
    entrypoint: str = ""
    args: tuple[str, ...] = ()
    script: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    folder: str = ""
    timeout: float = 0.0
    allow_failure: bool = False
    passing_codes: tuple[int, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BuildConfig:
    """A whole build; `timeout` in seconds."""

    steps: Sequence[BuildStep]
    timeout: float


def given_values(content: Mapping[str, Any], given: Mapping[str, str], triggered: bool) -> dict[str, str]:
    """Returns a build's substitutions: those that it declares, with what is given over them.

    Args:
        triggered: a trigger starts it; then what is given needn't be declared, and nothing need have a value.

    Raises:
        PipeyardError: something is given that the build doesn't know.
    """
    declared = {key: str(value) for key, value in (content.get("substitutions") or {}).items()}
    unknown = sorted(set(given) - set(declared) - set(substitutions.BUILT_IN))
    if unknown and not is_loose(content, triggered):
        known = ", ".join(declared) or "none"
        raise PipeyardError(f"The build has no substitution {', '.join(unknown)}. It declares: {known}.")
    options = content.get("options") or {}
    values = {**declared, **given}
    dynamic = triggered or options.get("dynamicSubstitutions")
    return substitutions.resolve(values, is_loose(content, triggered)) if dynamic else values


def is_loose(content: Mapping[str, Any], triggered: bool) -> bool:
    """True if substitutions without a value are empty."""
    return triggered or (content.get("options") or {}).get("substitutionOption") == "ALLOW_LOOSE"


def of(content: Mapping[str, Any], values: Mapping[str, str], loose: bool = False) -> BuildConfig:
    """Returns the build that a linted `cloudbuild.yaml` describes.

    Args:
        values: of its substitutions.

    Raises:
        PipeyardError: a substitution has no value, or the build wants what only Cloud Build itself does.
    """
    for key in ("images", "artifacts"):
        if content.get(key):
            raise PipeyardError(
                f"The build has `{key}`, which Cloud Build pushes after the last step, and nothing does here. "
                "Push in a step, before what uses it."
            )
    filled = substitutions.expand_all(content, values, loose)
    options = filled.get("options") or {}
    steps: list[BuildStep] = []
    indices: dict[str, int] = {}
    for index, each in enumerate(filled["steps"]):
        steps.append(_step(index, each, indices, options, values))
        if each.get("id"):
            indices[each["id"]] = index
    return BuildConfig(steps, limit_of(filled))


def limit_of(content: Mapping[str, Any]) -> float:
    """Returns the seconds that a whole build may take."""
    return seconds(content.get("timeout")) or _TIMEOUT


def seconds(duration: str | None) -> float:
    """Returns a duration such as `600s`; 0 for none."""
    return float(duration[:-1]) if duration else 0.0


def environment(entries: Sequence[str] | None) -> dict[str, str]:
    """Returns `KEY=VALUE` entries as a mapping."""
    pairs = (entry.partition("=") for entry in entries or ())
    return {key: value for key, _, value in pairs}


def _step(
    index: int,
    each: Mapping[str, Any],
    indices: Mapping[str, int],
    options: Mapping[str, Any],
    values: Mapping[str, str],
) -> BuildStep:
    waits = each.get("waitFor")
    waits_for = range(index) if not waits else [indices[name] for name in waits if name != AT_ONCE]
    mapped = each.get("automapSubstitutions", options.get("automapSubstitutions", False))
    env = environment(options.get("env")) | environment(each.get("env"))
    volumes = [*(options.get("volumes") or ()), *(each.get("volumes") or ())]
    return BuildStep(
        index,
        each.get("id") or f"step {index}",
        each["name"],
        tuple(waits_for),
        each.get("entrypoint", ""),
        tuple(each.get("args", ())),
        each.get("script", ""),
        {**values, **env} if mapped else env,
        tuple(dict.fromkeys([*(options.get("secretEnv") or ()), *(each.get("secretEnv") or ())])),
        each.get("dir", ""),
        seconds(each.get("timeout")),
        bool(each.get("allowFailure")),
        tuple(map(int, each.get("allowExitCodes", ()))),
        {volume["name"]: volume["path"] for volume in volumes},
    )
