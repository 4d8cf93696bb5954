"""Writes a CSV file of flights of any size. Runs in the environment of benchmarks/.

The first pass over the source is taken as it is; later ones get jitter that the pass number seeds.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

# Column to the most that is added or taken off, and the least value that is left.
JITTER = {"dep_delay": (3, -60), "arr_delay": (5, -90), "air_time": (4, 1), "distance": (10, 1), "flight": (9, 1)}


def jittered(table: pa.Table, number: int) -> pa.Table:
    """Returns the table with JITTER applied; missing values stay missing."""
    random = np.random.default_rng(number)
    for name, (most, least) in JITTER.items():
        added = pa.array(random.integers(-most, most + 1, table.num_rows))
        values = pc.max_element_wise(pc.add(table[name], added), least, skip_nulls=False)
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--arrived", action="store_true", help="only those of the rows that have an arrival delay")
    args = parser.parse_args()

    flights = pv.read_csv(args.source, convert_options=pv.ConvertOptions(
        null_values=["NA"], strings_can_be_null=True, column_types={"time_hour": pa.string()}))  # fmt: skip
    aside = args.target.with_name(f".{args.target.name}.partial")
    # pyarrow would quote the names, which TFX's CsvExampleGen takes for a part of them.
    options = pv.WriteOptions(include_header=False, quoting_style="none")
    with aside.open("wb") as file, pv.CSVWriter(file, flights.schema, write_options=options) as writer:
        file.write(f"{','.join(flights.schema.names)}\n".encode())
        left, number = args.rows, 0
        while left > 0:
            part = flights.slice(0, min(left, flights.num_rows))
            part = jittered(part, number) if number else part
            left -= part.num_rows
            writer.write(part.filter(pc.is_valid(part["arr_delay"])) if args.arrived else part)
            number += 1
    aside.rename(args.target)


if __name__ == "__main__":
    main()
