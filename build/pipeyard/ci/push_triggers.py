"""Which triggers a push starts, by the rules of Cloud Build.

https://cloud.google.com/build/docs/automating-builds/create-manage-triggers: without included and ignored files every
push does; a push of ignored files alone doesn't; of the rest, one must be included.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any


def starts(trigger: Mapping[str, Any], kind: str, ref: str, files: Iterable[str]) -> tuple[bool, str]:
    """Returns whether a push starts a trigger, and why.

    Args:
        trigger: its definition.
        kind: branch or tag.
        ref: name of the branch or tag.
        files: that the push changed.
    """
    push = push_of(trigger)
    if kind not in push:
        return False, f"it is not for a {kind}"
    if not fits(push, kind, ref):
        return False, f"it is not for the {kind} {ref}"
    files = list(files)
    included, ignored = trigger.get("includedFiles") or [], trigger.get("ignoredFiles") or []
    left = [name for name in files if not any(matches(name, pattern) for pattern in ignored)]
    if files and not left:
        return False, "all files that changed are ignored"
    if not included:
        return True, f"{left[0]} changed" if left else f"{kind} {ref}"
    for name in left:
        for pattern in included:
            if matches(name, pattern):
                return True, f"{name} changed ({pattern})"
    return False, "no file that changed is included"


def push_of(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """Returns which pushes a trigger is for: `branch` or `tag`, and `invertRegex`; empty if it is for none."""
    for event in ("repositoryEventConfig", "github"):
        if push := (trigger.get(event) or {}).get("push"):
            return push
    template = trigger.get("triggerTemplate")
    if not template:
        return {}
    kind = "tag" if template.get("tagName") else "branch"
    return {kind: template.get(f"{kind}Name", "^.*$"), "invertRegex": bool(template.get("invertRegex"))}


def fits(push: Mapping[str, Any], kind: str, ref: str) -> bool:
    """Whether a push's pattern matches a branch or tag of that name."""
    return (re.search(push[kind], ref) is not None) != bool(push.get("invertRegex"))


def matches(name: str, pattern: str) -> bool:
    """Whether a file's path matches a pattern: `*` within a folder, `**` over folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.fullmatch("".join(wild.get(part, re.escape(part)) for part in parts), name) is not None
