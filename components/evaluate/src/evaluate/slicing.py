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


def slice_rows(features: tuple[str, ...], columns: Mapping[str, pa.Array]) -> Slicing:
    """Groups rows by the values of `features`."""
    combined: np.ndarray | None = None
    values: list[list[Any]] = []
    missing = np.zeros(len(columns[features[0]]), bool)
    for name in features:
        encoded = _plain(columns[name]).dictionary_encode()
        codes = pc.fill_null(encoded.indices, MISSING).to_numpy(zero_copy_only=False).astype(np.int64)
        missing |= codes == MISSING
        values.append([_key_value(value) for value in encoded.dictionary.to_pylist()])
        combined = codes if combined is None else combined * max(len(values[-1]), 1) + codes
    present, inverse = np.unique(combined[~missing], return_inverse=True)
    codes = np.full(len(missing), MISSING, np.int32)
    codes[~missing] = inverse
    return Slicing(features, [_key(features, values, int(code)) for code in present], codes)


def too_many(features: Sequence[str]) -> StepError:
    """Returns the error for `features` that make more than MAX_SLICES slices."""
    return StepError(
        f"--slices {' x '.join(features)} makes more than {MAX_SLICES:,} slices, the most that are possible. "
        "Slice by a feature with fewer values."
    )


def _key(features: Sequence[str], values: Sequence[Sequence[Any]], code: int) -> SliceKey:
    picked = []
    for options in reversed(values):
        code, index = divmod(code, len(options))
        picked.append(options[index])
    return tuple(zip(features, reversed(picked), strict=True))


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
