"""DuckDB's SUMMARIZE of CSV or Parquet files (a glob), to a CSV file. Runs in the environment of peers/dataframes."""

import sys

import duckdb

source, target = sys.argv[1:]
READ = "read_parquet" if source.endswith(".parquet") else "read_csv"
duckdb.execute(f"COPY (SELECT * FROM (SUMMARIZE SELECT * FROM {READ}('{source}'))) TO '{target}' (FORMAT csv, HEADER)")
