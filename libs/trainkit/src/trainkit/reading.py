"""Transform's output as Arrow record batches, whichever format it has."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from stepkit import examples
from stepkit.errors import StepError, near_misses
from trainkit.schema import FeatureSpec

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

BATCH_ROWS = 8192
_COMPRESSION = {"gzip": "GZIP", "none": ""}
_ARROW = {tf.string: pa.binary(), tf.int64: pa.int64(), tf.float32: pa.float32()}


@dataclass(frozen=True)
class Split:
    """A split as the manifest has it.

    Attributes:
        format: `tfrecord` (of tf.Example) or `parquet`.
        files: in order.
        file_rows: examples of each.
        compression: of TFRecord files, as TensorFlow calls it: `GZIP` or empty.
    """

    name: str
    format: str
    files: tuple[Path, ...]
    file_rows: tuple[int, ...]
    compression: str

    @property
    def rows(self) -> int:
        """Number of examples."""
        return sum(self.file_rows)


class _MisfitError(ValueError):
    """A file's columns aren't what the spec says."""


def find_split(folder: Path, name: str) -> Split:
    """Looks a split up in the manifest.

    Raises:
        StepError: the folder isn't transform's output, the split is missing or empty, a file is missing, or the format
            or compression is unknown.
    """
    if not (folder / examples.MANIFEST).is_file():
        raise StepError(f"{str(folder)!r} has no {examples.MANIFEST}. Give transform's output, transformed_examples.")
    manifest = examples.read_manifest(folder)
    kind = manifest.get("format")
    if kind not in _READERS:
        raise StepError(
            f"The transformed examples in {str(folder)!r} are {kind}; trainers read {' and '.join(_READERS)}. "
            "Give transform's output, transformed_examples."
        )
    packed = manifest.get("compression", "none")
    if packed not in _COMPRESSION:
        raise StepError(
            f"The transformed examples in {str(folder)!r} are compressed by {packed}; trainers read "
            f"{' and '.join(_COMPRESSION)}. Give transform's output, transformed_examples."
        )
    files = tuple(examples.split_files(folder, name))
    entries = manifest["splits"][name]
    if not entries["rows"]:
        raise StepError(
            f"Split {name!r} of the transformed examples is empty. Give extract more rows or other split ratios; "
            f"{near_misses(name, [other for other in manifest['splits'] if other != name])}"
        )
    return Split(name, kind, files, tuple(entry["rows"] for entry in entries["files"]), _COMPRESSION[packed])


def arrow_schema(spec: FeatureSpec) -> pa.Schema:
    """Returns the columns that `read` gives for a spec.

    A dense feature of one value a row is a column of values, one of n values a column of fixed-size lists, and a sparse
    one a column of lists.
    """
    return pa.schema([pa.field(name, _arrow_type(feature)) for name, feature in spec.items()])


def read(split: Split, spec: FeatureSpec) -> Generator[tuple[Path, pa.RecordBatch], None, None]:
    """Streams a split's batches, each with the file that it comes from. Columns are those of `arrow_schema`.

    Raises:
        StepError: a file is corrupt, doesn't fit the spec or has another number of rows than the manifest says.
    """
    for file, expected in zip(split.files, split.file_rows, strict=True):
        rows = 0
        try:
            for batch in _READERS[split.format](split, file, spec):
                rows += batch.num_rows
                yield file, batch
        except (tf.errors.DataLossError, tf.errors.UnimplementedError) as error:
            raise StepError(f"{str(file)!r} is corrupt ({_first_line(error)}). Run transform again.") from error
        except (tf.errors.InvalidArgumentError, _MisfitError) as error:
            raise StepError(
                f"{str(file)!r} doesn't fit the transformed schema ({_first_line(error)}). "
                "Give examples and graph of one transform run."
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise StepError(f"{str(file)!r} is corrupt ({error}). Run transform again.") from error
        if rows != expected:
            raise StepError(
                f"{str(file)!r} has {rows:,} examples, its manifest says {expected:,}. Run transform again."
            )


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "message", error)).splitlines()[0].removeprefix("{{function_node __wrapped__")
    return text.split("}} ", 1)[-1].split(" [Op:")[0]


def _value_type(feature: Any) -> pa.DataType:
    return _ARROW[feature.dtype]


def _arrow_type(feature: Any) -> pa.DataType:
    if not isinstance(feature, tf.io.FixedLenFeature):
        return pa.list_(_value_type(feature))
    width = int(np.prod(feature.shape))
    return _value_type(feature) if width == 1 else pa.list_(_value_type(feature), width)


def _read_tfrecord(split: Split, file: Path, spec: FeatureSpec) -> Iterator[pa.RecordBatch]:
    records = tf.data.TFRecordDataset(str(file), compression_type=split.compression).batch(BATCH_ROWS)
    parsed = records.map(lambda rows: (tf.size(rows), tf.io.parse_example(rows, spec)), tf.data.AUTOTUNE).prefetch(1)
    schema = arrow_schema(spec)
    for rows, batch in parsed:
        columns = [_from_tensor(batch[field.name], field.type, int(rows)) for field in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _from_tensor(value: tf.Tensor | tf.SparseTensor, kind: pa.DataType, rows: int) -> pa.Array:
    if isinstance(value, tf.SparseTensor):
        counts = np.bincount(value.indices.numpy()[:, 0], minlength=rows)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, pa.array(value.values.numpy(), kind.value_type))
    values = value.numpy().reshape(-1)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values, kind.value_type), kind.list_size)
    return pa.array(values, kind)


def _read_parquet(split: Split, file: Path, spec: FeatureSpec) -> Iterator[pa.RecordBatch]:
    del split
    parquet = pq.ParquetFile(file)
    present = parquet.schema_arrow.names
    for name in spec:
        if name not in present:
            raise _MisfitError(f"Feature: {name} (data type: {spec[name].dtype.name}) is missing")
    schema = arrow_schema(spec)
    for batch in parquet.iter_batches(BATCH_ROWS, columns=schema.names):
        columns = [_from_column(batch.column(field.name), field) for field in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _from_column(column: pa.Array, field: pa.Field) -> pa.Array:
    """Gives a column of values or of lists the form that `arrow_schema` has for it."""
    ragged = pa.types.is_list(field.type)
    width = field.type.list_size if pa.types.is_fixed_size_list(field.type) else 1
    if pa.types.is_nested(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        if not ragged and pc.any(pc.not_equal(lengths, width)).as_py():
            raise _MisfitError(f"Feature: {field.name} doesn't have {width} values in every row")
        values = column.flatten()
    else:
        if column.null_count or (width != 1 and not ragged):
            raise _MisfitError(f"Feature: {field.name} doesn't have {width} values in every row")
        lengths, values = None, column
    try:
        values = values.cast(field.type.value_type if pa.types.is_nested(field.type) else field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _MisfitError(f"Feature: {field.name}: {error}") from error
    if not ragged:
        return values if width == 1 else pa.FixedSizeListArray.from_arrays(values, width)
    counts = np.ones(len(column), np.int32) if lengths is None else lengths.to_numpy()
    return pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), values)


_READERS = {"tfrecord": _read_tfrecord, "parquet": _read_parquet}
