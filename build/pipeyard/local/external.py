"""What a step reads or writes outside the run: data files, a schema, a model registry, a serving folder.

A component declares it in the annotation `pipeyard.dev/external-state`: a JSON array of URIs with inputs in braces,
e.g. `["{source}", "{serving_uri}/{model_name}"]`. The step cache takes its content into the key; otherwise a changed
file behind an unchanged path would give stale results. What it changes of that state it declares likewise, in
`pipeyard.dev/external-writes`, and what it makes there and refuses to replace in `pipeyard.dev/external-creates`.
"""

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepkit import digest

ABSENT = "absent"
_DATABASE = re.compile(r"^sqlite:/{3}(?P<path>.+)$")
_LOCAL = re.compile(r"^(file://)?(?P<path>(?![a-z0-9+.-]+:).*)$", re.IGNORECASE)


def fingerprint(templates: Sequence[str], parameters: Mapping[str, Any]) -> dict[str, str] | None:
    """Returns URI to content digest for all external state of a step.

    Args:
        templates: URIs with `{input}` fields. One whose inputs are all empty counts for nothing.
        parameters: the step's input parameters.

    Returns:
        None if some state can't be fingerprinted (a database server, a store that gives no checksums): then the step
        must not be cached.
    """
    result: dict[str, str] = {}
    for uri in expand(templates, parameters):
        content = _of_uri(uri)
        if content is None:
            return None
        result[uri] = content
    return result


def expand(templates: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
    """Returns the URIs that the templates stand for. See `fingerprint`."""
    uris = []
    for template in templates:
        fields = re.findall(r"\{(\w+)\}", template)
        if all(parameters.get(field) for field in fields):
            filled = template.format_map({field: str(parameters[field]) for field in fields})
            # An input of its own may list several; a path that is there may have commas in its name.
            several = template == f"{{{fields[0]}}}" and not Path(filled).exists() if fields else False
            uris += [uri.strip() for uri in filled.split(",")] if several else [filled]
    return uris


def local_path(uri: str) -> tuple[str, bool] | None:
    """Returns the local path that a URI stands for, wildcards included, and whether it is a database's.

    Returns:
        None if it isn't local.
    """
    if match := _DATABASE.match(uri):
        return match.group("path").partition("?")[0], True
    match = _LOCAL.match(uri)
    return (match.group("path"), False) if match else None


def places(parameters: Mapping[str, Any]) -> list[str]:
    """Returns the parameters that name local places, from the root of the file system on."""
    texts = [value for value in parameters.values() if isinstance(value, str)]
    return [text for text in texts if (local := local_path(text)) and Path(local[0]).is_absolute()]


def _of_uri(uri: str) -> str | None:
    local = local_path(uri)
    return _of_local(local[0]) if local else _of_remote(uri)


def _of_local(pattern: str) -> str:
    paths = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207  # absolute patterns
    present = [Path(path) for path in paths if Path(path).exists()]
    if not present:
        return ABSENT
    return digest.of_text("\n".join(f"{path}\0{digest.of_tree(path)}" for path in present))


def _of_remote(uri: str) -> str | None:
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(uri)
        fs.invalidate_cache()  # this run's own steps, and others, write there meanwhile
        files = fs.glob(path) if glob.has_magic(path) else fs.find(path)
        described = [(name, _version(fs.info(name))) for name in sorted(files)]
    except (ImportError, ValueError, OSError):
        return None
    if not described:
        return ABSENT
    if any(version is None for _, version in described):
        return None
    return digest.of_text("\n".join(f"{name}\0{version}" for name, version in described))


def _version(info: Mapping[str, Any]) -> str | None:
    """Returns what an object store says of an object's content: checksum, generation or ETag."""
    for key in ("md5Hash", "crc32c", "generation", "ETag", "etag", "sha256"):
        if info.get(key):
            return str(info[key])
    return None
