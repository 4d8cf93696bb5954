"""From a shard of the examples to rows of predictions, a batch at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch_predict import predictions
from batch_predict.planning import Plan, Shard
from stepkit import examples, loaded_models, uris
from stepkit.answers import NoAnswerError
from stepkit.errors import StepError, tensorflow_cause
from stepkit.raw_columns import Column

Batch = tuple[str, int, pa.RecordBatch]  # of which file, its first row there, its rows


class Scorer:
    """Scores batches; threads may share it.

    Args:
        model: folder of the SavedModel.

    Raises:
        StepError: it can't be loaded, or takes a column that the examples haven't, or several values a row.
    """

    def __init__(self, model: Path, plan: Plan) -> None:
        self._plan = plan
        self._model = loaded_models.load(model)
        self._names = [column.name for column in self._model.columns]
        for column in self._model.columns:
            if column.shape not in ((1,), (None,)):
                raise StepError(
                    f"The model takes {column.shape} values a row of the column {column.name!r}; examples have one. "
                    "Ask it by the model server."
                )

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Streams a shard.

        Raises:
            StepError: it can't be read.
        """
        with uris.local_copy(shard.source, "examples file") as path:
            row = 0
            columns = [*self._names, *self._plan.carried]
            for batch in examples.read_stored(path, columns, self._plan.batch_rows, "the model"):
                yield shard.source, row, batch
                row += batch.num_rows

    def arguments(self, read: Batch) -> dict[str, np.ndarray]:
        """Returns what the model's signature takes of a batch: argument to its values, [rows, 1].

        Raises:
            StepError: a value is of another type than the model takes, or missing where it needs one; names file and
                column.
        """
        source, _, batch = read
        return {column.argument: _tensor(column, batch, source) for column in self._model.columns}

    def score(self, read: Batch) -> pa.RecordBatch:
        """Returns the carried columns and the predictions of a batch.

        Raises:
            StepError: as `arguments`, or there is no answer to a row, which is named.
        """
        source, first, batch = read
        tensors = list(self.arguments(read).values())
        answers = self._plan.answers
        try:
            found = predictions.columns(answers, self._ask(tensors))
        except NoAnswerError as error:
            if error.row is None:
                where = f"rows {first} to {first + batch.num_rows - 1} (from 0)"
                raise StepError(f"There is no answer to a row among {where} of {source!r}. {error}") from error
            row = first + error.row
            raise StepError(
                f"The model has no finite answer to row {row} (from 0) of {source!r}. Check its values, which may be "
                "beyond what it was trained with. If they are right, leave the row out by extract's where."
            ) from error
        carried = [batch.column(batch.schema.get_field_index(name)) for name in self._plan.carried]
        return pa.RecordBatch.from_arrays([*carried, *found], schema=self._plan.schema)

    def _ask(self, tensors: list[np.ndarray]) -> np.ndarray:
        import tensorflow as tf

        try:
            return self._model.ask(tensors)
        except tf.errors.OpError as error:
            raise NoAnswerError(f"The model fails: {tensorflow_cause(error)}.") from error


def _tensor(column: Column, batch: pa.RecordBatch, source: str) -> np.ndarray:
    stored = batch.column(batch.schema.get_field_index(column.name))
    try:
        values = examples.to_flat_column(stored, column.kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        wanted = {"BYTES": "text", "INT": "whole numbers", "FLOAT": "numbers"}[column.kind]
        raise StepError(
            f"Column {column.name!r} in {source!r} has other values than {wanted}, which the model takes: {error}."
        ) from error
    if values.null_count:
        if column.required:
            raise StepError(
                f"Column {column.name!r} in {source!r} has {values.null_count} missing values in a batch of "
                f"{batch.num_rows} rows, and the model needs one in every row. Leave such rows out by extract's where."
            )
        values = pc.fill_null(values, pa.scalar(column.missing, values.type))
    found: np.ndarray = values.to_numpy(zero_copy_only=False)
    return found.astype(column.dtype, copy=False).reshape(-1, 1)
