"""Writes a CSV file of sparse numbers and a label that some of them tell of. Runs in the environment of benchmarks/."""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

PRESENT = 0.1
_TELLING = 20  # columns that the label depends on; the others are noise


def table(rows: int, columns: int) -> pa.Table:
    """Returns `columns` columns of numbers, of which a tenth is there, and the label `clicked`, 0 or 1."""
    random = np.random.default_rng(7)
    there = random.random((columns, rows)) < PRESENT
    values = np.round(random.normal(5, 2, (columns, rows)), 3)
    logits = np.where(there, values, 0)[:_TELLING].T @ random.normal(0, 0.5, min(_TELLING, columns))
    clicked = random.random(rows) < 1 / (1 + np.exp(logits.mean() - logits))
    width = len(str(columns - 1))
    numbers = {f"n{index:0{width}}": pa.array(values[index], mask=~there[index]) for index in range(columns)}
    return pa.table({**numbers, "clicked": clicked.astype(np.int64)})


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--columns", type=int, required=True)
    args = parser.parse_args()
    aside = args.target.with_name(f".{args.target.name}.partial")
    pv.write_csv(table(args.rows, args.columns), aside)
    aside.rename(args.target)


if __name__ == "__main__":
    main()
