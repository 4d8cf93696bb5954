"""What is to be done, known before a model is loaded or a row is read; what can't be done is refused here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch_predict import predictions
from stepkit import answers as answering
from stepkit import examples as layout
from stepkit import model_description, served, uris
from stepkit.answers import Answers
from stepkit.errors import StepError, near_misses
from stepkit.model_description import ModelDescription


@dataclass(frozen=True)
class Shard:
    """A Parquet file of the examples, and the file of its predictions.

    Attributes:
        source: URI.
        target: path within the folder of predictions.
        rows: of both.
    """

    source: str
    target: str
    rows: int


@dataclass(frozen=True)
class Plan:
    """The work of a step. Pickles.

    Attributes:
        answers: how the model answers.
        carried: columns of the examples that come before the predictions.
        schema: of the output.
        batch_rows: rows that the model is asked at a time.
    """

    shards: tuple[Shard, ...]
    answers: Answers
    carried: tuple[str, ...]
    schema: pa.Schema
    batch_rows: int

    @property
    def rows(self) -> int:
        """Rows to score."""
        return sum(shard.rows for shard in self.shards)


def describe(model: Path) -> ModelDescription:
    """Returns what a model says of itself.

    Raises:
        StepError: it is no SavedModel, or says nothing.
    """
    if not (model / served.SAVED_MODEL).is_file():
        numbers = [str(number) for number in served.versions(str(model))]
        if numbers:
            raise StepError(
                f"{str(model)!r} is the folder of a model's versions {', '.join(numbers)}. Give the folder of one, "
                f"e.g. {str(model / numbers[0])!r}."
            )
        raise StepError(
            f"{str(model)!r} isn't a SavedModel: it has no {served.SAVED_MODEL}. Give train's output, or the folder of "
            "a version that deploy has pushed."
        )
    description = model_description.read(model)
    if description is None:
        raise StepError(
            f"The model {str(model)!r} doesn't say what it is for: it has no {model_description.FILE}, with its task "
            "and classes. Train it again with this version of train."
        )
    return description


def answers_of(model: Path, description: ModelDescription, operating_point: Mapping[str, Any]) -> Answers:
    """Returns how a model answers.

    Args:
        operating_point: evaluate's, which goes before the one beside the model; empty: none.

    Raises:
        StepError: an operating point has no threshold.
    """
    found = answering.of(model, description)
    if not operating_point:
        return found
    threshold = operating_point.get("threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise StepError(
            f"--operating-point has no number as its threshold: {dict(operating_point)!r}. Give evaluate's output, or "
            '{"threshold": 0.3}.'
        )
    return replace(found, threshold=float(threshold))


def check_names(carried: Sequence[str], made: Sequence[str]) -> None:
    """Refuses output columns of one name; Parquet tells them apart by case, databases that read it don't.

    Raises:
        StepError: names the column and what to do.
    """
    seen: dict[str, str] = {}
    for name in carried:
        if name in seen.values():
            raise StepError(f"--columns names {name!r} twice. Name it once.")
        if name.lower() in seen:
            raise StepError(
                f"--columns names {seen[name.lower()]!r} and {name!r}, which differ in case alone: databases take them "
                "for one. Leave one out, or rename it in extract's query."
            )
        seen[name.lower()] = name
    for name in made:
        if name.lower() in seen:
            raise StepError(
                f"--columns carries {seen[name.lower()]!r} along, and a column of the predictions is called {name!r}. "
                "Leave it out, or give the predictions' names another beginning, e.g. --prefix predicted_."
            )


def plan(
    examples: str,
    splits: Sequence[str],
    description: ModelDescription,
    answers: Answers,
    carried: Sequence[str],
    prefix: str,
    batch_rows: int,
) -> Plan:
    """Plans by the manifest and the files' footers.

    Args:
        examples: URI that every worker reads.
        splits: to score; none: all.
        carried: columns that come before the predictions.
        prefix: of the predictions' names.

    Raises:
        StepError: the examples lack a split, a file or a column, or a column is of a type that the model doesn't take.
    """
    with uris.local_copy(uris.join(examples, layout.MANIFEST), "manifest of the examples") as path:
        there = layout.read_manifest(path.parent)["splits"]
    for split in splits:
        if split not in there:
            raise StepError(f"--splits: the examples have no split {split!r}. {near_misses(split, there)}")
    chosen = {name: each for name, each in there.items() if not splits or name in splits}
    shards, stored = [], None
    for split, each in chosen.items():
        folder = PurePosixPath(split) if len(chosen) > 1 else PurePosixPath()
        for number, file in enumerate(each["files"]):
            source = uris.join(examples, file["path"])
            rows, schema = _footer(source)
            _check_columns(source, schema, description, carried)
            stored = stored or schema
            shards.append(Shard(source, str(folder / f"part-{number:05}.parquet"), rows))
    if stored is None:
        raise StepError(f"The examples have no rows in {', '.join(chosen) or 'any split'}: there is nothing to score.")
    fields = [stored.field(name).remove_metadata() for name in carried]
    schema = pa.schema([*fields, *predictions.fields(answers, prefix)])
    return Plan(tuple(shards), answers, tuple(carried), schema, batch_rows)


def _check_columns(source: str, schema: pa.Schema, description: ModelDescription, carried: Sequence[str]) -> None:
    check_takes(source, schema.names, description.arguments)
    for name in carried:
        if name not in schema.names:
            raise StepError(
                f"--columns names {name!r}, which the examples don't have. {near_misses(name, schema.names)}"
            )
    for name in description.arguments:
        kind, column = description.raw_types.get(name), schema.field(name)
        if kind and not _fits(column.type, kind):
            raise StepError(
                f"Column {name!r} of {source!r} is {column.type}, and the model takes "
                f"{'text' if kind == 'BYTES' else 'numbers'}. Give it the type that it was trained with: extract's "
                "column_types."
            )


def check_takes(source: str, present: Sequence[str], needed: Iterable[str]) -> None:
    """Raises StepError, with near misses, for a column of the model that a file hasn't."""
    for name in needed:
        if name not in present:
            raise StepError(
                f"The model takes the column {name!r}, which {source!r} doesn't have. {near_misses(name, present)} "
                "Extract it; one that is missing in all rows can be NULL in extract's query."
            )


def _fits(stored: pa.DataType, kind: str) -> bool:
    if pa.types.is_dictionary(stored):
        stored = stored.value_type
    if pa.types.is_nested(stored):
        return False
    is_text = any(check(stored) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary))
    return kind == "BYTES" or not (is_text or pa.types.is_large_binary(stored) or pa.types.is_temporal(stored))


def _footer(uri: str) -> tuple[int, pa.Schema]:
    fs, path = uris.filesystem(uri)
    try:
        with fs.open(path, "rb") as stream:
            file = pq.ParquetFile(stream)
            return file.metadata.num_rows, file.schema_arrow
    except FileNotFoundError as error:
        raise StepError(f"{uri!r} is named in the manifest but missing. Run extract again.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise StepError(f"{uri!r} can't be read as Parquet ({error}). Run extract again.") from error
