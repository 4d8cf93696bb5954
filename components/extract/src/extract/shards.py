"""Writing one split as Parquet files that depend on its rows alone, not on how they arrive in batches."""

from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from stepkit import digest

ROW_GROUP = 65_536


class ShardWriter:
    """Writes `<folder>/<split>/part-NNNNN.parquet`, and holds at most a row group and a batch in memory.

    Attributes:
        split: its name.
        schema: of its rows.
        rows: written or held so far.
        nulls: column to its nulls so far.
    """

    def __init__(self, folder: Path, split: str, schema: pa.Schema, rows_per_shard: int) -> None:
        self.split = split
        self.schema = schema
        self.rows = 0
        self.nulls = dict.fromkeys(schema.names, 0)
        self._folder = folder
        self._rows_per_shard = rows_per_shard
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._writer: pq.ParquetWriter | None = None
        self._shard_rows = 0
        self._files: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer:
            self._writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Appends rows."""
        self.rows += batch.num_rows
        for name, column in zip(self.schema.names, batch.columns, strict=True):
            self.nulls[name] += column.null_count
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        while self._pending_rows >= self._next_group():
            self._write_group()

    def finish(self) -> None:
        """Writes what is held and closes the last file."""
        while self._pending_rows:
            self._write_group()
        self._close_shard()

    def entry(self) -> dict[str, Any]:
        """Returns the split's entry of the manifest, once finished."""
        files = []
        for path, rows in self._files:
            written = self._folder / path
            files.append(
                {"path": path, "rows": rows, "bytes": written.stat().st_size, "sha256": digest.of_file(written)}
            )
        return {"rows": self.rows, "bytes": sum(file["bytes"] for file in files), "files": files}

    def _next_group(self) -> int:
        return min(ROW_GROUP, self._rows_per_shard - self._shard_rows)

    def _write_group(self) -> None:
        size = min(self._next_group(), self._pending_rows)
        pending = pa.Table.from_batches(self._pending, self.schema)
        # One chunk a column: page borders must not depend on the batches.
        group = pending.slice(0, size).combine_chunks()
        self._pending = pending.slice(size).to_batches()
        self._pending_rows -= size
        if self._writer is None:
            path = f"{self.split}/part-{len(self._files):05}.parquet"
            (self._folder / self.split).mkdir(exist_ok=True)
            self._writer = pq.ParquetWriter(self._folder / path, self.schema, compression="zstd")
            self._files.append((path, 0))
        self._writer.write_table(group, row_group_size=size)
        self._shard_rows += size
        self._files[-1] = (self._files[-1][0], self._shard_rows)
        if self._shard_rows == self._rows_per_shard:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None
            self._shard_rows = 0
