"""Noticing doubles that are whole numbers so large that others near them are the same double."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from extract.inference import EXACT

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported


class WholeDoubles:
    """Watches the columns of doubles for those that have whole numbers alone."""

    def __init__(self, schema: pa.Schema) -> None:
        self._whole = {number for number, field in enumerate(schema) if pa.types.is_float64(field.type)}
        self._large: set[int] = set()
        self._names = schema.names

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes a batch's values into account; costs nothing for a column that had a fraction before."""
        for number in list(self._whole):
            values = batch.column(number)
            values = values.filter(pc.is_finite(values))
            # Most columns have a fraction soon.
            for part in (values.slice(0, 64), values):
                if not pc.all(pc.equal(pc.trunc(part), part)).as_py() and len(part):
                    self._whole.discard(number)
                    break
            else:
                extremes = pc.min_max(values).as_py()
                if len(values) and max(-extremes["min"], extremes["max"]) > EXACT:
                    self._large.add(number)

    def names(self) -> Sequence[str]:
        """Returns the columns of whole numbers of which some are beyond 2^53."""
        return [self._names[number] for number in sorted(self._whole & self._large)]
