"""The step cache: outputs by content of everything that went into them.

An entry points to the outputs where the run that computed them left them, as KFP's cache does, and is good only while
they still have the content they had then.
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeyard.runs.record import Artifact
from pipeyard.system import files, jsons
from stepkit import digest

# Of a folder that holds a folder a run.
CACHE_FOLDER = ".cache"
_log = logging.getLogger(__name__)
_LOST = "The output %s of %s is gone or changed since it was cached. The step %s is computed anew."


# Waiting for the disk costs as much as computing what takes less anew.
SYNCED_SECONDS = 0.1
# Of entries; those that say none are of the first.
FORMAT = 1


class CacheEntry(BaseModel):
    """Outputs of a task, and which run computed them.

    Attributes:
        reads: what its pipeline module read beside its inputs, see `module_reads`; it must still be so.
    """

    format: int = FORMAT
    run: str
    task: str
    parameters: dict[str, Any]
    artifacts: dict[str, Artifact]
    reads: dict[str, str] = {}


def key(
    command: Sequence[str],
    env: Mapping[str, str],
    source_digest: str,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, Any],
    external: Mapping[str, str],
) -> str:
    """Returns the key of a task.

    Args:
        command: with its placeholders, so that paths of a run don't count.
        source_digest: of the component: sources, lock, shared packages.
        artifacts: input artifacts; of each, content, metadata and type count, not the place.
        external: content of what is outside the run, by URI.
    """
    parts = {
        "version": 1,
        "command": list(command),
        "env": dict(env),
        "source": source_digest,
        "parameters": dict(parameters),
        "artifacts": {name: _content(value) for name, value in artifacts.items()},
        "external": dict(external),
    }
    return digest.of_text(json.dumps(parts, sort_keys=True))


def _content(value: Any) -> Any:
    if isinstance(value, list):
        return [_content(item) for item in value]
    return [value.type, value.digest, value.metadata]


class StepCache:
    """Entries in a folder, one JSON file a key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, cache_key: str) -> CacheEntry | None:
        """Returns the entry, or None if absent.

        One that is damaged, whatever it is, or whose outputs are gone or changed, counts as none, and a warning is
        logged: the step is computed anew.
        """
        path = self._path(cache_key)
        try:
            content = jsons.read(path)
            if isinstance(content, dict) and isinstance(said := content.get("format"), int) and said > FORMAT:
                raise ValueError(f"a newer Pipeyard wrote it, in format {said}; this one reads up to {FORMAT}")
            entry = CacheEntry.model_validate(content)
            lost = next((artifact.uri for artifact in entry.artifacts.values() if not intact(artifact)), None)
            if lost:
                _log.warning(_LOST, lost, entry.run, entry.task)
                return None
            _log.debug("step cache: %s is of %s in %s", cache_key, entry.task, entry.run)
            return entry
        except FileNotFoundError:
            _log.debug("step cache: %s isn't there", cache_key)
            return None
        except (OSError, ValueError) as error:
            reason = "it isn't one" if isinstance(error, ValidationError) else error
            _log.warning("The cache entry %s can't be read (%s). Its step is computed anew.", path, reason)
            return None

    def put(self, cache_key: str, entry: CacheEntry, seconds: float = SYNCED_SECONDS) -> None:
        """Stores an entry, whole or not at all; the last of several writers wins.

        Args:
            seconds: that its step took. What takes less than `SYNCED_SECONDS` may be gone after a power cut.
        """
        path, content, synced = self._path(cache_key), entry.model_dump_json(indent=1), seconds >= SYNCED_SECONDS
        try:
            files.write_whole(path, content, synced)
        except (FileNotFoundError, IsADirectoryError):  # the first of a folder; a damaged one
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.rmtree(path)
            files.write_whole(path, content, synced)

    def _path(self, cache_key: str) -> Path:
        return self._folder / f"{cache_key}.json"


def intact(artifact: Artifact) -> bool:
    """True if the artifact is there with the content it had when it was written."""
    path = Path(artifact.uri)
    return path.exists() and digest.of_tree(path) == artifact.digest
