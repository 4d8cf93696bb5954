"""Writes extract's examples as SPLIT.csv. Runs in transform's environment.

Takes the examples, a folder to write to, and a schema if only its columns are wanted, unquoted.
"""

import sys
from pathlib import Path

import pyarrow.csv as pv
import pyarrow.dataset as ds

from stepkit import schemas

examples, target, *schema = map(Path, sys.argv[1:])
names = [feature.name for each in schema for feature in schemas.in_use(schemas.read(str(each)))]
options = pv.WriteOptions(include_header=False, quoting_style="none" if schema else "needed")
for split in (path for path in examples.iterdir() if path.is_dir()):
    table = ds.dataset(split, format="parquet").to_table(names or None)
    with (target / f"{split.name}.csv").open("wb") as file:
        # Without quotes: CsvExampleGen takes those of a header for parts of the names.
        file.write(f"{','.join(table.column_names)}\n".encode())
        pv.write_csv(table, file, options)
