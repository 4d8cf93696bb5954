"""Opening whatever `--source` names as the SQL table `source`."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepkit import uris
from stepkit.errors import StepError

from extract import csv_files
from extract.files import SourceFile, describe, find, format_of
from extract.sql import identifier

TABLE = "source"


@dataclass(frozen=True)
class Source:
    """What rows are read from.

    Attributes:
        format: csv, jsonl, parquet, tfrecord or sql.
        names: the parts of `--source`, without passwords.
        files: the files they stand for.
    """

    format: str
    names: Sequence[str]
    files: Sequence[SourceFile] = ()

    def describe(self) -> dict[str, Any]:
        """Returns the manifest's account of the source; reads all local files to hash them."""
        return {"format": self.format, "globs": list(self.names), "files": describe(self.files)}


def open_source(connection: Any, args: argparse.Namespace, advance: Callable[[int], None]) -> Source:
    """Makes the source the table `source` of `connection`.

    Raises:
        StepError: it isn't there or can't be read.
    """
    names = [name.strip() for name in args.source.split(",") if name.strip()]
    if not names:
        raise StepError("--source is empty. Give paths or globs, or a database.")
    found = find(names)
    kind = format_of(found) if args.format == "auto" else args.format
    for protocol in {file.path.partition("://")[0] for file in found if uris.is_remote(file.path)}:
        connection.register_filesystem(uris.filesystem(f"{protocol}://")[0])
    table = csv_files.table(connection, found, args.null_values, args.column_types, advance)
    connection.execute(f"CREATE VIEW {identifier(TABLE)} AS {table}")
    return Source(kind, names, found)
