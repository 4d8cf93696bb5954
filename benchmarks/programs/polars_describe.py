"""polars' describe of CSV or Parquet files (a glob), to a CSV file. Runs in the environment of peers/dataframes."""

import sys

import polars as pl

source, target = sys.argv[1:]
table = pl.read_parquet(source) if source.endswith(".parquet") else pl.read_csv(source, infer_schema_length=10_000)
table.describe().write_csv(target)
