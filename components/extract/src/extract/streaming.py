"""Running a SELECT as a stream of Arrow record batches."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from extract.errors import reading

_BATCH_ROWS = 32_768


def stream(
    connection: Any, sql: str, places: Mapping[str, str] | None = None
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Returns the schema of a SELECT and its rows, in order and in bounded batches.

    Args:
        connection: DuckDB's.
        sql: the SELECT.
        places: see `extract.errors.reading`.

    Raises:
        StepError: the source can't be read; also while the rows are taken.
    """
    with reading(places):
        reader = connection.sql(sql).to_arrow_reader(_BATCH_ROWS)

    def batches() -> Iterator[pa.RecordBatch]:
        while True:
            with reading(places):
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    return reader.schema, batches()
