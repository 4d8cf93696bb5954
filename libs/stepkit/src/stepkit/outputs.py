"""Outputs that appear whole or not at all.

Everything is written aside and moved into place when the step has succeeded; when it fails nothing is left. Artifact
metadata (what KFP shows for Metrics and the like) goes into KFP's executor output file, the one way a container
component has of setting it: protocol in kubeflow/pipelines, `ExecutorOutput` of `kfp-pipeline-spec`.
"""

import json
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stepkit import uris, values

# What the launcher reads of an artifact; a field that it doesn't know fails the step.
_ARTIFACT_FIELDS = ("name", "uri")


class Outputs:
    """A transaction over all outputs of a step.

    >>> with Outputs() as outputs:                                   # doctest: +SKIP
    ...     folder = outputs.directory(args.examples)                # write files below it
    ...     outputs.file(args.schema).write_text("...")
    ...     outputs.parameter(args.row_count, 3)

    Files become visible in the order they were asked for, parameters last. Local ones are renamed into place
    (atomic on one filesystem); remote ones are uploaded whole from a temporary folder. What an earlier attempt left is
    gone then: an output is replaced, whatever it was, and metadata of before doesn't outlive the start.
    """

    def __init__(self, executor_input: str = "") -> None:
        """Args: executor_input: KFP's executor input as JSON; an empty or unresolved one (`{{$}}`) is ignored."""
        self._moves: list[tuple[Path, str]] = []
        self._parameters: list[tuple[Path, str]] = []
        self._metadata: dict[str, dict[str, Any]] = {}
        self._executor_input: dict[str, Any] = {}
        if executor_input and executor_input.strip() != "{{$}}":
            try:
                self._executor_input = json.loads(executor_input)
            except json.JSONDecodeError:  # a backend that substitutes something else gets no metadata, but its outputs
                self._executor_input = {}

    def __enter__(self) -> Self:
        if stale := self._executor_output():
            stale.unlink(missing_ok=True)
        return self

    def directory(self, uri: str) -> Path:
        """Returns an empty local folder that becomes `uri`. A folder already at `uri` is replaced."""
        aside = self._aside(uri, self._moves)
        aside.mkdir()
        return aside

    def file(self, uri: str) -> Path:
        """Returns a local path that becomes `uri` once it has been written."""
        return self._aside(uri, self._moves)

    def parameter(self, path: str, value: bool | int | float | str | list[Any] | dict[str, Any]) -> None:
        """Sets an output parameter: KFP reads its value as text from a file. An empty `path` sets nothing.

        Raises:
            StepError: KFP's launcher would refuse the value (see `stepkit.values.parameter`).
        """
        if not path:
            return
        text = values.parameter(Path(path).name, value)
        self._aside(path, self._parameters).write_text(text, encoding="utf-8")

    def metadata(self, artifact: str, facts: Mapping[str, Any]) -> None:
        """Sets KFP metadata of the output artifact that the spec calls `artifact`.

        Raises:
            StepError: KFP's launcher would refuse a value (see `stepkit.values.metadata`).
        """
        self._metadata.setdefault(artifact, {}).update(values.metadata(artifact, facts))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for aside, uri in self._moves:
                    if not aside.exists():
                        raise FileNotFoundError(f"the step asked for the output {uri!r} but wrote nothing to it")
                for aside, uri in [*self._moves, *self._parameters]:
                    _move(aside, uri)
                self._write_executor_output()
        finally:
            for aside, uri in [*self._moves, *self._parameters]:
                _remove(aside.parent if uris.is_remote(uri) else aside)

    def _aside(self, uri: str, register: list[tuple[Path, str]]) -> Path:
        if uris.is_remote(uri):
            aside = Path(tempfile.mkdtemp(prefix="stepkit-")) / "output"
        else:
            target = uris.local_part(uri)
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        register.append((aside, uri))
        return aside

    def _executor_output(self) -> Path | None:
        """Returns where the launcher looks for metadata; None without one."""
        name = self._executor_input.get("outputs", {}).get("outputFile")
        return Path(name) if name else None

    def _write_executor_output(self) -> None:
        target = self._executor_output()
        if not self._metadata or not target:
            return
        artifacts = {}
        for name, facts in self._metadata.items():
            declared = self._executor_input["outputs"].get("artifacts", {}).get(name, {}).get("artifacts", [])
            if declared:
                known = {field: declared[0][field] for field in _ARTIFACT_FIELDS if field in declared[0]}
                artifacts[name] = {"artifacts": [{**known, "metadata": facts}]}
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.partial")
        aside.write_text(json.dumps({"artifacts": artifacts}, allow_nan=False), encoding="utf-8")
        aside.replace(target)


def _move(aside: Path, uri: str) -> None:
    if uris.is_remote(uri):
        fs, path = uris.filesystem(uri)
        if fs.isdir(path) or (aside.is_dir() and fs.exists(path)):
            fs.rm(path, recursive=True)
        # Without the slash, some filesystems would put the folder itself into the target.
        fs.put(f"{aside}/" if aside.is_dir() else str(aside), path, recursive=aside.is_dir())
        return
    target = uris.local_part(uri)
    if target.is_dir() or (aside.is_dir() and target.exists()):
        replaced = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.replaced")
        target.rename(replaced)
        aside.rename(target)
        _remove(replaced)
    else:
        aside.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
