"""Tells what rows were scored with; run in batch_predict's environment, which reads Parquet.

Usage: python scored_rows.py EXAMPLES_FILE PREDICTIONS_FILE ROWS -> JSON on stdout: [[row as a client sends it, scores]]
"""

import json
import sys

import pyarrow.parquet as pq


def main(examples: str, predictions: str, rows: str) -> None:
    asked, scored = (pq.read_table(path).slice(0, int(rows)).to_pylist() for path in (examples, predictions))
    sent = [{name: value for name, value in row.items() if value is not None} for row in asked]
    print(json.dumps(list(zip(sent, scored, strict=True))))


main(*sys.argv[1:])
