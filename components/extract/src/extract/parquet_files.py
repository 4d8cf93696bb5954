"""Parquet files as a SQL table."""

from collections.abc import Collection, Sequence
from typing import Any

import duckdb

from extract import inference
from extract.files import SourceFile, same_columns
from extract.sql import literal, plain_type
from stepkit.errors import StepError


def table(connection: Any, files: Sequence[SourceFile], column_types: Collection[str]) -> str:
    """Returns a SELECT over Parquet files.

    Args:
        connection: DuckDB's.
        column_types: the columns that will be cast anyway, so that files may disagree about them.

    Raises:
        StepError: a file isn't Parquet, or has other columns or types than another.
    """
    types = {}
    for file in files:
        try:
            relation = connection.sql(f"SELECT * FROM read_parquet({literal([file.path])}, hive_partitioning=false)")
        except duckdb.Error as error:
            raise StepError(f"{file.path!r} can't be read as Parquet ({error}). Write it again.") from error
        types[file.path] = {
            name: plain_type(kind) or str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)
        }
    columns = same_columns({path: tuple(kinds) for path, kinds in types.items()})
    inference.unify(types, [name for name in columns if name not in column_types])
    paths = [file.path for file in files]
    return f"SELECT * FROM read_parquet({literal(paths)}, union_by_name=true, hive_partitioning=false)"
