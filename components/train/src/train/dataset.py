"""Transformed examples as tf.data: checked once, then served in an order that only the seed and the epoch decide."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from stepkit import examples
from stepkit.errors import StepError, near_misses
from stepkit.progress import bar
from train.schema import FeatureSpec

# Splits whose decoded tensors take less than this stay in memory: an epoch then costs no parsing.
MEMORY_BUDGET_BYTES = 1 << 30
# Examples that a split too large for that is shuffled within.
SHUFFLE_BUFFER = 65_536
_READ_ROWS = 8192
_VALIDATION_ROWS = 1024
_STRING_BYTES = 64
_COMPRESSION = {"gzip": "GZIP", "none": ""}


@dataclass(frozen=True)
class Split:
    """A split as the manifest has it.

    Attributes:
        files: TFRecord files of tf.Example, in order.
        file_rows: examples of each.
        compression: as TensorFlow calls it: `GZIP` or empty.
    """

    name: str
    files: tuple[Path, ...]
    file_rows: tuple[int, ...]
    compression: str

    @property
    def rows(self) -> int:
        """Number of examples."""
        return sum(self.file_rows)


class Source(Protocol):
    """A split that a model can be trained on or validated with. Batches are ({feature: tensor}, label)."""

    rows: int

    def epochs(
        self, batch_rows: int, seed: int, first: int, last: int, share: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """Returns the epochs `first` to `last` - 1 one after the other, each shuffled its own way.

        Each has ceil(rows / batch_rows) batches, of which the last may be smaller.

        Args:
            share: index of a worker and number of workers: the batches have only that worker's rows. Shares are equal;
                a batch that doesn't divide evenly has some of its first rows twice.
        """

    def batches(self) -> tf.data.Dataset:
        """Returns the split once, in order."""


def read_split(folder: Path, name: str) -> Split:
    """Looks a split up in the manifest.

    Raises:
        StepError: the folder isn't transform's output, the split is missing or empty, a file is missing, or the format
            isn't TFRecord.
    """
    if not (folder / examples.MANIFEST).is_file():
        raise StepError(f"{str(folder)!r} has no {examples.MANIFEST}. Give transform's output, transformed_examples.")
    manifest = examples.read_manifest(folder)
    if manifest.get("format") != "tfrecord":
        raise StepError(
            f"The transformed examples in {str(folder)!r} are {manifest.get('format')}; train reads TFRecord. "
            "Run transform with --output-format tfrecord."
        )
    files = tuple(examples.split_files(folder, name))
    entries = manifest["splits"][name]
    if not entries["rows"]:
        raise StepError(
            f"Split {name!r} of the transformed examples is empty. Give extract more rows or other split ratios; "
            f"{near_misses(name, [other for other in manifest['splits'] if other != name])}"
        )
    compression = _COMPRESSION[manifest.get("compression", "none")]
    return Split(name, files, tuple(entry["rows"] for entry in entries["files"]), compression)


def open_split(split: Split, spec: FeatureSpec, label_key: str, budget: int = MEMORY_BUDGET_BYTES) -> Source:
    """Reads and checks a split.

    Args:
        spec: parsing spec of the transformed examples, with the label.
        budget: most bytes of decoded tensors to keep in memory; above it, examples are parsed anew every epoch.

    Raises:
        StepError: a file is corrupt, doesn't fit the spec or has another number of rows than the manifest says, or the
            label is useless: missing, NaN, infinite, or the same in every row.
    """
    in_memory = _decoded_bytes(split, spec) <= budget
    wanted = spec if in_memory else {label_key: spec[label_key]}
    collected: dict[str, list[np.ndarray]] = {name: [] for name in spec} if in_memory else {}
    check = _LabelCheck(split.name, label_key)
    with bar(f"Reading {split.name}", split.rows) as advance:
        for file, batch in _read(split, wanted):
            check.add(file, batch[label_key])
            for name, values in collected.items():
                values.append(batch[name])
            advance(len(batch[label_key]))
    check.finish()
    if not in_memory:
        return _Streamed(split, spec, label_key)
    columns = {name: np.concatenate(values) for name, values in collected.items()}
    return _InMemory(split.rows, columns, label_key)


def _decoded_bytes(split: Split, spec: FeatureSpec) -> float:
    if any(not isinstance(feature, tf.io.FixedLenFeature) for feature in spec.values()):
        return float("inf")  # ragged rows can't be gathered by index
    widths = (
        int(np.prod(feature.shape)) * (_STRING_BYTES if feature.dtype == tf.string else feature.dtype.size)
        for feature in spec.values()
    )
    return split.rows * sum(widths)


def _read(split: Split, spec: FeatureSpec) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for file, expected in zip(split.files, split.file_rows, strict=True):
        records = tf.data.TFRecordDataset(str(file), compression_type=split.compression)
        rows = 0
        try:
            for serialized in records.batch(_READ_ROWS).prefetch(1):
                batch = tf.io.parse_example(serialized, spec)
                rows += len(serialized)
                yield file, {name: value.numpy() for name, value in batch.items()}
        except (tf.errors.DataLossError, tf.errors.UnimplementedError) as error:
            raise StepError(f"{str(file)!r} is corrupt ({_first_line(error)}). Run transform again.") from error
        except tf.errors.InvalidArgumentError as error:
            raise StepError(
                f"{str(file)!r} doesn't fit the transformed schema ({_first_line(error)}). "
                "Give examples and graph of one transform run."
            ) from error
        if rows != expected:
            raise StepError(
                f"{str(file)!r} has {rows:,} examples, its manifest says {expected:,}. Run transform again."
            )


def _first_line(error: tf.errors.OpError) -> str:
    text = str(error.message).splitlines()[0].removeprefix("{{function_node __wrapped__")
    return text.split("}} ", 1)[-1].split(" [Op:")[0]


class _LabelCheck:
    def __init__(self, split: str, label_key: str) -> None:
        self._split = split
        self._label_key = label_key
        self._low: Any = None
        self._high: Any = None

    def add(self, file: Path, labels: np.ndarray) -> None:
        bad = ~np.isfinite(labels)
        if bad.any():
            raise StepError(
                f"Label {self._label_key!r} is NaN or infinite in {int(bad.sum()):,} examples of {str(file)!r} "
                f"(split {self._split!r}). Drop those rows in extract (--where), or fill them in preprocessing_fn."
            )
        low, high = labels.min(), labels.max()
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)

    def finish(self) -> None:
        if self._low == self._high:
            raise StepError(
                f"Label {self._label_key!r} is {self._low} in every example of split {self._split!r}: with one class "
                "there is nothing to learn. Check how preprocessing_fn computes it, and what extract reads."
            )


class _InMemory:
    def __init__(self, rows: int, columns: Mapping[str, np.ndarray], label_key: str) -> None:
        self.rows = rows
        self._columns = {name: tf.constant(values) for name, values in columns.items()}
        self._label_key = label_key

    def epochs(
        self, batch_rows: int, seed: int, first: int, last: int, share: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        steps = -(-self.rows // batch_rows)

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self.rows), tf.stack([tf.constant(seed, tf.int64), epoch])
            )
            steps_of_epoch = tf.data.Dataset.range(steps)
            return steps_of_epoch.map(
                lambda step: self._take(_share(order[step * batch_rows : (step + 1) * batch_rows], share))
            )

        return tf.data.Dataset.range(first, last).flat_map(one_epoch).prefetch(tf.data.AUTOTUNE)

    def batches(self) -> tf.data.Dataset:
        return (
            tf.data.Dataset.from_tensor_slices(self._columns)
            .batch(_VALIDATION_ROWS)
            .map(self._split_off_label)
            .prefetch(1)
        )

    def _take(self, rows: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return self._split_off_label({name: tf.gather(values, rows) for name, values in self._columns.items()})

    def _split_off_label(self, columns: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        features = dict(columns)
        return features, features.pop(self._label_key)


class _Streamed:
    def __init__(self, split: Split, spec: FeatureSpec, label_key: str) -> None:
        self.rows = split.rows
        self._split = split
        self._spec = spec
        self._label_key = label_key

    def epochs(
        self, batch_rows: int, seed: int, first: int, last: int, share: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            files = tf.random.experimental.stateless_shuffle(
                tf.constant([str(file) for file in self._split.files]), tf.stack([tf.constant(seed, tf.int64), epoch])
            )
            records = tf.data.TFRecordDataset(files, compression_type=self._split.compression)
            shuffled = records.shuffle(SHUFFLE_BUFFER, seed=seed * 1_000_003 + epoch, reshuffle_each_iteration=False)
            return shuffled.batch(batch_rows).map(lambda rows: _share(rows, share))

        batches = tf.data.Dataset.range(first, last).flat_map(one_epoch)
        return batches.map(self._parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def batches(self) -> tf.data.Dataset:
        files = [str(file) for file in self._split.files]
        records = tf.data.TFRecordDataset(files, compression_type=self._split.compression)
        return records.batch(_VALIDATION_ROWS).map(self._parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1)

    def _parse(self, serialized: tf.Tensor) -> tuple[dict[str, Any], tf.Tensor]:
        features = tf.io.parse_example(serialized, self._spec)
        return features, features.pop(self._label_key)


def _share(rows: tf.Tensor, share: tuple[int, int]) -> tf.Tensor:
    index, workers = share
    if workers == 1:
        return rows
    count = tf.shape(rows)[0]
    mine = tf.range(index, -(-count // workers) * workers, workers)
    return tf.gather(rows, mine % count)
