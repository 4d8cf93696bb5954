"""A split as XGBoost reads it: decoded and checked once, then handed over piece by piece."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost

from train_trees.columns import Column, check_values, feature_types, to_matrix
from trainkit import reading
from trainkit.cache import Cache
from trainkit.decoded import MEMORY_BUDGET_BYTES, decode
from trainkit.labels import WEIGHTS, Target
from trainkit.schema import FeatureSpec

# Rows that XGBoost gets at a time; of a split on disk they are a page of its own files.
PIECE_ROWS = 1 << 16


@dataclass(frozen=True)
class Source:
    """A split that trees can be trained on or validated with.

    Attributes:
        rows: number of examples.
        seen: indices of the label's classes that it has.
        on_disk: it is larger than the budget.
    """

    cache: Cache
    columns: tuple[Column, ...]
    target: Target
    rows: int
    seen: frozenset[int]
    on_disk: bool

    def matrix(self, max_bin: int, folder: Path, like: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        """Returns the split in XGBoost's form, where a value takes a byte or two.

        Args:
            folder: for its files, if the split isn't in memory.
            like: the split that is trained on, whose bins another one gets.
        """
        prefix = tempfile.mkdtemp(dir=folder) + "/page" if self.on_disk else None
        pieces = _Pieces(self, prefix)
        if self.on_disk:
            return xgboost.ExtMemQuantileDMatrix(pieces, max_bin=max_bin, ref=like, enable_categorical=True)
        return xgboost.QuantileDMatrix(pieces, max_bin=max_bin, ref=like, enable_categorical=True)

    def head(self, rows: int = 1000) -> np.ndarray:
        """Returns the first rows, float32 [rows, columns]."""
        return to_matrix(self.cache.read([0]).slice(0, rows), self.columns)


def open_split(
    split: reading.Split,
    spec: FeatureSpec,
    columns: Sequence[Column],
    target: Target,
    budget: int = MEMORY_BUDGET_BYTES,
) -> Source:
    """Decodes and checks a split.

    Args:
        spec: parsing spec of the transformed examples, with the label.
        budget: most bytes of decoded examples to keep in memory; above it, they go to a temporary file.

    Raises:
        StepError: a file is corrupt, doesn't fit the spec or has another number of rows than the manifest says; the
            label or the weights are useless (see `trainkit.labels`); or trees can't be trained on a value.
    """
    features = {each.name: spec[each.name] for each in columns}
    asked = {**features, **{name: spec[name] for name in (target.label, target.weight) if name}}

    def check(file: Path, block: pa.RecordBatch) -> None:
        check_values(to_matrix(block, columns), columns, f"{str(file)!r} (split {split.name!r})")

    decoded = decode(split, asked, features, target, budget, check)
    on_disk = decoded.cache.nbytes > budget
    return Source(decoded.cache, tuple(columns), target, split.rows, decoded.seen, on_disk)


class _Pieces(xgboost.DataIter):
    def __init__(self, source: Source, prefix: str | None) -> None:
        super().__init__(cache_prefix=prefix)
        self._source = source
        self._types = feature_types(source.columns)
        self._next = 0
        blocks = source.cache.block_rows
        starts = range(0, source.rows, PIECE_ROWS) if len(blocks) == 1 else range(0, len(blocks), _together(blocks))
        self._starts = list(starts)

    def reset(self) -> None:
        self._next = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        if self._next == len(self._starts):
            return False
        rows = self._piece(self._starts[self._next])
        self._next += 1
        source = self._source
        weights = {"weight": rows.column(WEIGHTS).to_numpy()} if source.target.weighted else {}
        input_data(
            data=to_matrix(rows, source.columns),
            label=_label(rows, source.target),
            feature_types=self._types,
            **weights,
        )
        return True

    def _piece(self, start: int) -> pa.Table:
        cache = self._source.cache
        if len(cache.block_rows) == 1:
            return cache.read([0]).slice(start, PIECE_ROWS)
        return cache.read(range(start, min(start + _together(cache.block_rows), len(cache.block_rows))))


def _together(block_rows: Sequence[int]) -> int:
    return max(1, PIECE_ROWS // max(block_rows))


def _label(rows: pa.Table, target: Target) -> np.ndarray:
    values: Any = rows.column(target.label).combine_chunks()
    flat = values.flatten() if pa.types.is_fixed_size_list(values.type) else values
    numbers = flat.to_numpy(zero_copy_only=False).astype(np.float32)
    return numbers.reshape(len(rows), -1) if len(numbers) != len(rows) else numbers
