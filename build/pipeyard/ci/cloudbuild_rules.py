"""What is wrong with a `cloudbuild.yaml` or a trigger, before Cloud Build tells.

First Cloud Build's own messages, strictly; then what they let through.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pipeyard.ci import build_config, push_triggers, substitutions
from pipeyard.ci.documents import CiDocument
from pipeyard.errors import near_misses
from pipeyard.findings import Finding

# The check that a build's fields are of their types: without it others don't look at them.
SCHEMA = "schema"
_MOST_STEPS = 300
_LONGEST = 24 * 3600.0
# Fields whose keys are the user's.
_OWN_NAMES = {"substitutions", "envMap"}
_RESERVED = ("/workspace", "/builder", "/var/run/docker.sock")
# `{_TAG}`, which nobody fills in: it lacks its dollar sign.
_UNFILLED = re.compile(r"(?<!\$)\{(_[A-Z0-9_]+)\}")
# A tag that is empty unless a trigger started the build.
_MAYBE_EMPTY_TAG = re.compile(r":\$\{?(" + "|".join(substitutions.BY_TRIGGER) + r")\b")
_IN_SHELL = re.compile(r"\$\{?(_[A-Z0-9_]+)\b")
_STOPS = re.compile(r"^\s*set\s+-\w*e|^#!.*\s-\w*e", re.MULTILINE)
_USES_IMAGES = re.compile(r"pipeyard\s+(deploy|run|release)\b|kubectl\s+apply|gcloud\s+run\s+deploy")

_Violations = Iterator[tuple[tuple[str | int, ...], str, str, str]]  # way to it, check, problem, remedy


def check_build(document: CiDocument, triggered: bool = False) -> list[Finding]:
    """Returns what is wrong with a build, in the order of lines.

    Args:
        triggered: triggers alone start it, so that substitutions without a value are empty instead of refused.
    """
    from google.cloud.devtools import cloudbuild_v1

    return _check(document, cloudbuild_v1.Build.from_json, lambda content: _build(content, triggered))


def check_trigger(document: CiDocument, root: Path, build: Callable[[str], CiDocument]) -> list[Finding]:
    """Returns what is wrong with a trigger.

    Args:
        root: folder of the project.
        build: reads the build that a trigger names by its file.
    """
    from google.cloud.devtools import cloudbuild_v1

    return _check(document, cloudbuild_v1.BuildTrigger.from_json, lambda content: _trigger(content, root, build))


def _check(
    document: CiDocument, parse: Callable[[str], Any], checks: Callable[[dict[str, Any]], _Violations]
) -> list[Finding]:
    from google.protobuf.json_format import ParseError

    name = document.path.name
    try:
        parse(document.as_json)
    except ParseError as error:
        problem, line = _explained(str(error), document)
        return [Finding(f"{name}:{line}", SCHEMA, *problem)]
    content = _set(document.content)
    told = list(_spelled(content)) or list(checks(content))
    found = [(document.line_of(*way), check, problem, remedy) for way, check, problem, remedy in told]
    return [
        Finding(f"{name}:{line}", check, problem, remedy)
        for line, check, problem, remedy in sorted(found, key=lambda each: each[0])
    ]


def _set(value: Any) -> Any:
    """Returns what is set: to protobuf a field that is null isn't."""
    if isinstance(value, dict):
        return {key: _set(each) for key, each in value.items() if each is not None}
    return [_set(each) for each in value] if isinstance(value, list) else value


def _explained(message: str, document: CiDocument) -> tuple[tuple[str, str], int]:
    """Returns what protobuf's parser says in fewer words with a near miss, and the line it is about."""
    place = re.search(r'at "?\w+\.([\w.\[\]]+?)"?[.\s]', message + " ")
    way: list[str | int] = []
    for part in re.findall(r"\w+|\[\d+\]", place[1] if place else ""):
        way.append(int(part[1:-1]) if part.startswith("[") else part)
    unknown = re.search(r'has no field named "(\w+)"', message)
    if unknown:
        fields = re.findall(r"'(\w+)'", message.split("Available Fields", 1)[-1])
        return (
            (f"Cloud Build knows no field {unknown[1]!r} here", near_misses(unknown[1], fields)),
            document.line_of(*way, unknown[1]),
        )
    return (re.sub(r"\s+", " ", message).rstrip(". "), "Write it as Cloud Build's schema has it."), document.line_of(
        *way
    )


def _spelled(value: Any, way: tuple[str | int, ...] = ()) -> _Violations:
    """Yields fields by protobuf's names, such as `wait_for`: the parser takes them, but nothing else reads them."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _spelled(each, (*way, index))
    elif isinstance(value, dict):
        for key, each in value.items():
            first, *others = key.split("_")
            if first and others:
                right = first + "".join(map(str.capitalize, others))
                yield (*way, key), SCHEMA, f"{key!r} is {right!r} in Cloud Build's documentation", f"Write {right}."
            elif key not in _OWN_NAMES and not (key == "secretEnv" and isinstance(each, dict)):
                yield from _spelled(each, (*way, key))


def _build(content: dict[str, Any], triggered: bool) -> _Violations:
    yield from _steps(content)
    yield from _order(content)
    yield from _substitutions(content, triggered)
    yield from _environment(content)
    yield from _secrets(content)
    yield from _limits(content)
    yield from _volumes(content)
    yield from _habits(content)


def _steps(content: dict[str, Any]) -> _Violations:
    steps = content.get("steps") or []
    if not steps:
        yield ("steps",), "steps", "the build has no step", "Write one, or remove the file."
    if len(steps) > _MOST_STEPS:
        yield ("steps",), "steps", f"{len(steps)} steps, and Cloud Build takes {_MOST_STEPS}", "Join some."
    for index, step in enumerate(steps):
        way = ("steps", index)
        if not step:
            yield way, "steps", f"step {index} is empty", "Remove it, or write what it does."
            continue
        if not step.get("name"):
            yield way, "steps", f"{_called(step, index)} has no `name`", "Name the image that it runs in."
        if step.get("script") and (step.get("args") or step.get("entrypoint")):
            yield way, "steps", f"{_called(step, index)} has a script beside args or entrypoint", "Keep one."
        if "script" in step and not str(step["script"]).strip():
            yield (*way, "script"), "steps", f"{_called(step, index)} has an empty script", "Write it, or remove it."
        folder = PurePosixPath(step.get("dir", ""))
        if ".." in folder.parts:
            yield (*way, "dir"), "steps", f"{folder} isn't in /workspace", "Name a folder of the source."


def _order(content: dict[str, Any]) -> _Violations:
    steps = [step or {} for step in content.get("steps") or []]
    ids = [step.get("id", "") for step in steps]
    waits = {step["id"]: step.get("waitFor") or [] for step in steps if step.get("id")}
    for index, step in enumerate(steps):
        way = ("steps", index)
        if ids[index] and ids[index] in ids[:index]:
            yield (*way, "id"), "order", f"two steps are called {ids[index]!r}", "Give each an id of its own."
        if ids[index] == build_config.AT_ONCE:
            yield (*way, "id"), "order", "'-' is no id: in waitFor it means none", "Call it otherwise."
        wanted = step.get("waitFor") or []
        if build_config.AT_ONCE in wanted and len(wanted) > 1:
            yield (*way, "waitFor"), "order", "waitFor has '-' beside steps", "'-' waits for nothing: keep one."
        for name in wanted:
            if name == build_config.AT_ONCE or name in ids[:index]:
                continue
            here = (*way, "waitFor")
            if name not in ids:
                yield (
                    here,
                    "order",
                    f"it waits for {name!r}, which no step is called",
                    near_misses(name, filter(None, ids)),
                )
            elif circle := _circle(ids[index], waits):
                yield here, "order", f"steps wait for each other: {' -> '.join(circle)}", "Let one of them go first."
            else:
                yield here, "order", f"it waits for {name!r}, which stands below", "Write that step above this one."


def _circle(start: str, waits: dict[str, list[str]]) -> list[str]:
    """Returns the way from a step back to itself; empty if there is none."""
    pending = [[start]]
    seen = set()
    while pending:
        way = pending.pop()
        for name in waits.get(way[-1], []):
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                pending.append([*way, name])
    return []


def _substitutions(content: dict[str, Any], triggered: bool) -> _Violations:
    declared = content.get("substitutions") or {}
    yield from _declared(declared)
    loose = build_config.is_loose(content, triggered)
    used: set[str] = set()
    for way, text in substitutions.texts(content):
        names = substitutions.used(text)
        used |= names
        for name in sorted(names - set(declared) - set(substitutions.BUILT_IN)):
            if not substitutions.KEY.fullmatch(name):
                yield way, "substitutions", f"${name} is no substitution", "Write $$ where a shell is to read it."
            elif not loose:
                yield way, "substitutions", f"${name} isn't declared", near_misses(name, declared)
        for use in substitutions.refused(text):
            yield (
                way,
                "substitutions",
                f"{use} is an operation of Bash's, which Cloud Build doesn't know: it refuses the build",
                "Hand the value to a script by `env`, and do it there; write $$ where a shell is to read it.",
            )
        for match in _UNFILLED.finditer(text):
            yield way, "substitutions", f"{match[0]} is taken as it stands", f"Write ${match[0]}."
        if maybe := _MAYBE_EMPTY_TAG.search(text):
            yield (
                way,
                "substitutions",
                f"{text!r} has an empty tag when no trigger starts the build",
                f"Take the commit in a step where ${maybe[1]} is empty, and refuse what isn't committed.",
            )
    dynamic = {name for value in declared.values() for name in substitutions.used(str(value))}
    mapped = [content.get("options") or {}, *(step or {} for step in content.get("steps") or [])]
    if not loose and not any(each.get("automapSubstitutions") for each in mapped):
        for key in sorted(set(declared) - used - dynamic):
            yield ("substitutions", key), "substitutions", f"{key} is used nowhere", "Remove it."


def _declared(declared: dict[str, Any]) -> _Violations:
    if len(declared) > substitutions.MOST:
        yield ("substitutions",), "substitutions", f"{len(declared)} of them; 200 is the most", "Join some."
    for key, value in declared.items():
        way = ("substitutions", key)
        if key in substitutions.BUILT_IN:
            yield way, "substitutions", f"{key} is Cloud Build's own", "Remove it."
        elif not substitutions.KEY.fullmatch(key):
            yield way, "substitutions", f"{key!r} is no name of a substitution", "Write _ and capitals, as in _TAG."
        if len(key) > substitutions.LONGEST_KEY or len(str(value)) > substitutions.LONGEST_VALUE:
            yield way, "substitutions", f"{key} is too long", "A name has at most 100 characters, a value 4000."


def _environment(content: dict[str, Any]) -> _Violations:
    options = content.get("options") or {}
    declared = set(content.get("substitutions") or {})
    places: list[tuple[tuple[str | int, ...], dict[str, Any]]] = [(("options",), options)]
    places += [(("steps", index), step or {}) for index, step in enumerate(content.get("steps") or [])]
    for way, place in places:
        for index, entry in enumerate(place.get("env") or []):
            key, separator, _ = entry.partition("=")
            if not separator or not key:
                yield (*way, "env", index), "env", f"{entry!r} isn't KEY=VALUE", "Write it so."
        script = place.get("script", "")
        if not script or place.get("automapSubstitutions", options.get("automapSubstitutions")):
            continue
        known = {*build_config.environment(options.get("env")), *build_config.environment(place.get("env"))}
        for name in sorted({match[1] for match in _IN_SHELL.finditer(script)} & declared - known):
            yield (
                (*way, "script"),
                "env",
                f"${name} is empty in a script: scripts get no substitutions",
                f"Hand it over: env: ['{name}=${name}'].",
            )


def _secrets(content: dict[str, Any]) -> _Violations:
    available = content.get("availableSecrets") or {}
    known = {each.get("env", "") for each in available.get("secretManager") or []}
    for each in [*(available.get("inline") or []), *(content.get("secrets") or [])]:
        known |= set(each.get("envMap") or each.get("secretEnv") or {})
    options = content.get("options") or {}
    used: set[str] = set()
    places: list[tuple[tuple[str | int, ...], dict[str, Any]]] = [(("options",), options)]
    places += [(("steps", index), step or {}) for index, step in enumerate(content.get("steps") or [])]
    for way, place in places:
        names = place.get("secretEnv") or []
        used |= set(names)
        plain = build_config.environment(place.get("env"))
        for name in names:
            if name not in known:
                yield (
                    (*way, "secretEnv"),
                    "secrets",
                    f"the secret {name} comes from nowhere",
                    f"Name its version in availableSecrets. {near_misses(name, sorted(known))}"
                    if known
                    else "Name its version in availableSecrets.secretManager.",
                )
            if name in plain:
                yield (*way, "env"), "secrets", f"{name} is a secret and a plain variable", "Remove the plain one."
        for where, text in substitutions.texts(place.get("args") or [], (*way, "args")):
            for name in sorted(substitutions.used(text) & known):
                yield where, "secrets", f"${name} is read as a substitution", f"Write $${name}: the step has it."
    for name in sorted(known - used):
        yield ("availableSecrets",), "secrets", f"no step uses the secret {name}", "Remove it."


def _limits(content: dict[str, Any]) -> _Violations:
    whole = build_config.limit_of(content)
    if whole > _LONGEST:
        yield ("timeout",), "timeouts", "24 hours are the most", "Give 86400s or less."
    for index, step in enumerate(content.get("steps") or []):
        limit = build_config.seconds((step or {}).get("timeout"))
        if limit > whole:
            said = "" if content.get("timeout") else ", as it doesn't say"
            yield (
                ("steps", index, "timeout"),
                "timeouts",
                f"{_called(step, index)} may take {limit:g} s, but the whole build {whole:g} s{said}",
                "Give the build more, or the step less.",
            )


def _volumes(content: dict[str, Any]) -> _Violations:
    shared = {each.get("name") for each in (content.get("options") or {}).get("volumes") or []}
    places: dict[str, list[tuple[str | int, ...]]] = {}
    for index, step in enumerate(content.get("steps") or []):
        for number, volume in enumerate((step or {}).get("volumes") or []):
            way = ("steps", index, "volumes", number)
            places.setdefault(volume.get("name", ""), []).append(way)
            path = volume.get("path", "")
            if not path.startswith("/") or any(PurePosixPath(path).is_relative_to(each) for each in _RESERVED):
                yield (
                    way,
                    "volumes",
                    f"a volume can't be at {path!r}",
                    "Give an absolute path outside of Cloud Build's own.",
                )
    for name, ways in places.items():
        if len(ways) == 1 and name not in shared:
            yield ways[0], "volumes", f"only one step has the volume {name!r}", "Volumes pass files between steps."


def _habits(content: dict[str, Any]) -> _Violations:
    steps = [step or {} for step in content.get("steps") or []]
    told = ["\n".join([step.get("script", ""), *map(str, step.get("args") or [])]) for step in steps]
    for index, step in enumerate(steps):
        script = step.get("script", "")
        if len(script.strip().splitlines()) > 1 and not _STOPS.search(script) and "python" not in script[:40]:
            yield (
                ("steps", index, "script"),
                "script",
                f"{_called(step, index)} goes on after a command that fails",
                "Begin it with `set -eu`.",
            )
        if "git clone" in told[index] and "COMMIT_SHA" not in "\n".join([told[index], *(step.get("env") or [])]):
            yield (
                ("steps", index),
                "source",
                f"{_called(step, index)} clones the default branch, not the commit that started the build",
                "Use /workspace, which has that commit, or check $COMMIT_SHA out.",
            )
    if content.get("images") and any(_USES_IMAGES.search(text) for text in told):
        yield (
            ("images",),
            "images",
            "`images` are pushed after the last step, but a step before deploys or runs what names them",
            "Push them in a step of their own.",
        )


def _trigger(content: dict[str, Any], root: Path, build: Callable[[str], CiDocument]) -> _Violations:
    if not content.get("name"):
        yield (), "trigger", "it has no `name`", "Name it as its file is named."
    push = push_triggers.push_of(content)
    if not push:
        yield (), "trigger", "nothing starts it", "Give it repositoryEventConfig.push with a branch or a tag."
    for key in ("branch", "tag"):
        if key in push:
            try:
                re.compile(push[key])
            except re.error as error:
                yield (), "trigger", f"{key} {push[key]!r} is no regular expression: {error}", "Correct it."
            if not push[key].startswith("^") or not push[key].endswith("$"):
                yield (), "trigger", f"{key} {push[key]!r} also fits parts of names", "Write it between ^ and $."
    filename = content.get("filename", "")
    if not filename or not (root / filename).is_file():
        yield ("filename",), "trigger", f"there is no build {filename!r}", "Name a cloudbuild.yaml of the repository."
        return
    declared = build(filename).content.get("substitutions") or {}
    for key in content.get("substitutions") or {}:
        if key not in declared:
            yield ("substitutions", key), "trigger", f"{filename} declares no {key}", near_misses(key, declared)


def _called(step: dict[str, Any], index: int) -> str:
    return f"step {step['id']!r}" if step.get("id") else f"step {index}"
