"""Which slice each row is in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stepkit.errors import StepError

SliceKey = tuple[tuple[str, str | int | float], ...]
OVERALL: SliceKey = ()
MISSING = -1
# A report with more is read by nobody, and each slice costs memory and time.
MAX_SLICES = 2000


@dataclass(frozen=True)
class Slicing:
    """Rows by one feature, or by several crossed.

    Attributes:
        features: column names.
        keys: TFMA's key of each slice.
        codes: int32 [rows]: each row's position in `keys`; MISSING where a feature is null.
    """

    features: tuple[str, ...]
    keys: list[SliceKey]
    codes: np.ndarray

    def take(self, rows: np.ndarray) -> "Slicing":
        """Returns the same of some rows (positions), with the keys of these alone."""
        codes = self.codes[rows]
        present = np.unique(codes[codes != MISSING])
        renumbered = np.full(len(self.keys) + 1, MISSING, np.int32)  # the last is where MISSING points to
        renumbered[present] = np.arange(len(present))
        return Slicing(self.features, [self.keys[number] for number in present.tolist()], renumbered[codes])


def slice_rows(features: tuple[str, ...], columns: Mapping[str, pa.Array]) -> Slicing:
    """Groups rows by the values of `features`."""
    encoded = [_plain(columns[name]).dictionary_encode() for name in features]
    present = np.logical_and.reduce([pc.is_valid(column.indices).to_numpy(zero_copy_only=False) for column in encoded])
    rows = pa.array(np.flatnonzero(present))
    combined = first = np.zeros(len(rows), np.int64)
    picked = [column.indices.take(rows).to_numpy() for column in encoded]
    for column, indices in zip(encoded, picked, strict=True):
        # Numbered anew after each feature, so that the product of many can't overflow.
        _, first, combined = np.unique(
            combined * len(column.dictionary) + indices, return_index=True, return_inverse=True
        )
    values = [
        [_key_value(value) for value in column.dictionary.take(pa.array(indices[first])).to_pylist()]
        for column, indices in zip(encoded, picked, strict=True)
    ]
    codes = np.full(len(present), MISSING, np.int32)
    codes[present] = combined
    return Slicing(features, [tuple(zip(features, key, strict=True)) for key in zip(*values, strict=True)], codes)


def too_many(features: Sequence[str]) -> StepError:
    """Returns the error for `features` that make more than MAX_SLICES slices."""
    return StepError(
        f"--slices {' x '.join(features)} makes more than {MAX_SLICES:,} slices, the most that are possible. "
        "Slice by a feature with fewer values."
    )


def _plain(column: pa.Array) -> pa.Array:
    """Leaves integers and bytes; floats get the 32 bits that TFMA's keys have; all else (booleans, times) becomes text.

    NaN counts as missing.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_floating(kind):
        numbers = column.to_numpy(zero_copy_only=False).astype(np.float32)
        return pa.array(numbers, mask=np.isnan(numbers))
    if pa.types.is_integer(kind) or pa.types.is_binary(kind):
        return column
    return column.cast(pa.string())


def _key_value(value: Any) -> str | int | float:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def label(key: SliceKey) -> str:
    """Returns a slice's name as reports show it: `payment_type=Cash, trip_start_day=3`."""
    return ", ".join(f"{name}={value}" for name, value in key) or "overall"
