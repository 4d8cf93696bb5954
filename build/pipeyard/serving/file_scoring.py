"""Scores of files without a server: by extract and batch_predict, one after the other, without a pipeline.

The model is what is served: the stable version of a model, another version by its number, or a SavedModel's folder.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.repository import component_programs
from pipeyard.repository.project import Project
from pipeyard.serving import live_monitoring
from pipeyard.serving.serving_folder import ServingFolder
from stepkit import model_description, served
from stepkit.errors import StepError

_PURPOSE = "files are scored"
_SPLIT = "all"
# What extract is told here, and what says where its outputs go.
_OWN = frozenset({"source", "columns", "splits", "split_by", "split_key"})


@dataclass(frozen=True)
class ScoredModel:
    """A model to score with.

    Attributes:
        location: folder or URI of the SavedModel.
        name: of a pushed one; empty: none.
        version: its number.
    """

    location: str
    name: str = ""
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}" if self.name else self.location


@dataclass(frozen=True)
class ScoringRequest:
    """What is to be scored.

    Attributes:
        source: paths and globs, separated by commas, or a database.
        output: where the predictions go; nothing may be there.
        columns: of the files, that come before the predictions.
        prefix: of the predictions' names.
        reading: inputs of extract by name.
    """

    model: ScoredModel
    source: str
    output: str
    columns: Sequence[str] = ()
    prefix: str = ""
    reading: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileScores:
    """What came of it.

    Attributes:
        manifest: batch_predict's: rows, task, columns, files.
    """

    request: ScoringRequest
    manifest: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        model = self.request.model
        named = {"model": model.name, "version": model.version} if model.name else {}
        told = {name: self.manifest[name] for name in ("rows", "task", "columns", "files")}
        return {**named, "model_uri": model.location, "output": self.request.output, **told}


def find_model(text: str, pushed: Callable[[], ServingFolder]) -> ScoredModel:
    """Returns the model that NAME, NAME@VERSION, or a folder or URI means.

    Args:
        pushed: gives the folder of pushed models, which only a name needs.

    Raises:
        PipeyardError: there is no such model or version.
    """
    if "/" in text or text == ".":
        if "://" not in text and not Path(text).is_dir():
            raise PipeyardError(f"There is no folder {text!r}. Give one, or the name of a pushed model: NAME, NAME@3.")
        return ScoredModel(text if "://" in text else str(Path(text).resolve()))
    name, at, number = text.partition("@")
    if at and not served.is_number(number):
        raise PipeyardError(f"{text!r} has no version's number after @. Give {name}@3, or {name} for the champion.")
    folder = pushed()
    models = folder.models()
    if name not in models:
        beside = f" For the folder of that name here give ./{name}." if Path(name).is_dir() else ""
        raise PipeyardError(f"No model {name!r} is in {folder.path}. {near_misses(name, models)}{beside}")
    version = live_monitoring.version_of(folder, name, int(number) if at else None)
    return ScoredModel(str(folder.version(version)), name, version.number)


def reading_of(project: Project, given: Sequence[str]) -> dict[str, str]:
    """Returns inputs of extract as `NAME=VALUE` gives them.

    Raises:
        PipeyardError: one has no value, or extract has no such input.
    """
    spec = project.components["extract"].spec if "extract" in project.components else {"inputs": []}
    known = [each["name"] for each in spec["inputs"] if each["name"] not in _OWN]
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise PipeyardError(f"--read {text!r} has no value. Give NAME=VALUE, e.g. --read delimiter=;")
        if name not in known:
            raise PipeyardError(f"--read {text!r}: extract has no such input here. {near_misses(name, known)}")
        found[name] = value
    return found


def score(project: Project, request: ScoringRequest, say: Callable[[str], None]) -> FileScores:
    """Reads files and scores them.

    Raises:
        PipeyardError: the model, the files or the output are wrong, before anything is written.
    """
    asked = [
        *("--model", request.model.location, "--output-uri", request.output, "--prefix", request.prefix),
        *("--columns", json.dumps(list(request.columns), ensure_ascii=False)),
    ]
    component_programs.run(project, "batch_predict", ["-m", "batch_predict", "--check", *asked], _PURPOSE, say)
    with tempfile.TemporaryDirectory(prefix="pipeyard-predict-") as scratch:
        out = Path(scratch)
        say(f"reading {request.source}")
        component_programs.run(project, "extract", ["-m", "extract", *_extract(request, out)], _PURPOSE, say)
        rows = int((out / "rows").read_text(encoding="utf-8"))
        say(f"scoring {rows:,} rows with {request.model}")
        outputs = ["--examples", str(out / "examples"), "--predictions", str(out / "predictions")]
        component_programs.run(project, "batch_predict", ["-m", "batch_predict", *asked, *outputs], _PURPOSE, say)
        manifest = json.loads((out / "predictions/manifest.json").read_text(encoding="utf-8"))
    return FileScores(request, manifest)


def _extract(request: ScoringRequest, out: Path) -> list[str]:
    """Returns the arguments of extract, which reads no more than what is needed, where that is known."""
    needed = _needed(request)
    return [
        *("--source", request.source, "--splits", f'{{"{_SPLIT}": 1}}'),
        *(("--columns", json.dumps(needed, ensure_ascii=False)) if needed else ()),
        *(part for name, value in request.reading.items() for part in (f"--{name.replace('_', '-')}", value)),
        *("--examples", str(out / "examples"), "--manifest", str(out / "manifest"), "--row-count", str(out / "rows")),
    ]


def _needed(request: ScoringRequest) -> list[str]:
    """Returns the columns that the model takes and those that are carried; none: not known here, so all are read."""
    if "://" in request.model.location:
        return []
    try:
        description = model_description.read(Path(request.model.location))
    except StepError as error:
        raise PipeyardError(str(error)) from error
    return list(dict.fromkeys([*request.columns, *description.arguments])) if description else []
