"""A split's decoded examples: in memory while they fit a bound, in an unnamed file otherwise."""

import tempfile
from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa


class Cache:
    """Blocks of rows that are added once, in order, and then read by number, any number of times.

    In memory they become one block. On disk they stay as they were added, and only those asked for take memory. The
    file has no name: however the process ends, nothing is left behind.

    Attributes:
        block_rows: rows of each block.
        nbytes: bytes of all blocks, wherever they are.
    """

    def __init__(self, schema: pa.Schema, budget: int) -> None:
        """Args: budget: most bytes to keep in memory."""
        self.block_rows: list[int] = []
        self.nbytes = 0
        self._schema = schema
        self._budget = budget
        self._held: list[pa.RecordBatch] = []
        self._file: BinaryIO | None = None
        self._writer: pa.RecordBatchFileWriter | None = None
        self._table: pa.Table | None = None
        self._reader: pa.RecordBatchFileReader | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes of what is in memory."""
        return sum(batch.nbytes for batch in self._held) + (0 if self._table is None else self._table.nbytes)

    def add(self, block: pa.RecordBatch) -> None:
        """Appends a block.

        Raises:
            OSError: it can't be written to the folder for temporary files.
        """
        self.block_rows.append(block.num_rows)
        self.nbytes += block.nbytes
        self._held.append(block)
        if self.nbytes <= self._budget:
            return
        if self._writer is None:
            self._file = tempfile.TemporaryFile(prefix="train-")  # noqa: SIM115  # pylint: disable=consider-using-with
            self._writer = pa.ipc.new_file(self._file, self._schema)
        for held in self._held:
            self._writer.write_batch(held)
        self._held = []

    def finish(self) -> None:
        """Ends adding: from now on blocks can be read."""
        if self._writer is not None:
            self._writer.close()
            self._reader = pa.ipc.open_file(self._file)
            return
        rest = pa.Table.from_batches(self._held, self._schema)
        self._held = []
        self.block_rows = [rest.num_rows]
        columns = []
        while rest.num_columns:  # column by column, so that only one is in memory twice
            columns.append(rest.column(0).combine_chunks())
            rest = rest.remove_column(0)
        self._table = pa.Table.from_arrays(columns, schema=self._schema)

    def read(self, numbers: Sequence[int]) -> pa.Table:
        """Returns blocks one after the other, as a table with one chunk a column: rows are then quick to pick."""
        if self._table is not None:
            return self._table
        assert self._reader is not None
        return pa.Table.from_batches([self._reader.get_batch(number) for number in numbers]).combine_chunks()
