"""Writes extract's examples as SPLIT.csv, the schema's columns only. Runs in transform's environment.

Takes the examples, the schema and a folder to write to.
"""

import sys
from pathlib import Path

import pyarrow.csv as pv
import pyarrow.dataset as ds

from stepkit import schemas

examples, schema, target = map(Path, sys.argv[1:])
names = [feature.name for feature in schemas.in_use(schemas.read(str(schema)))]
for split in (path for path in examples.iterdir() if path.is_dir()):
    table = ds.dataset(split, format="parquet").to_table(columns=names)
    pv.write_csv(table, target / f"{split.name}.csv", pv.WriteOptions(quoting_style="none"))
