"""Tells what rows were scored with; run in batch_predict's environment, which reads Parquet.

Usage: python scored_rows.py MODEL EXAMPLES_FILE PREDICTIONS_FILE ROWS -> JSON on stdout: [[row as sent, scores]]
"""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

from stepkit import model_description


def main(model: str, examples: str, predictions: str, rows: str) -> None:
    taken = model_description.read(Path(model)).arguments
    asked, scored = (pq.read_table(path).slice(0, int(rows)).to_pylist() for path in (examples, predictions))
    sent = [{name: value for name, value in row.items() if name in taken and value is not None} for row in asked]
    print(json.dumps(list(zip(sent, scored, strict=True))))


main(*sys.argv[1:])
