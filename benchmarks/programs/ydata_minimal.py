"""ydata-profiling's minimal report of a CSV file, as JSON. Runs in the environment of peers/ydata_profiling."""

import sys
from pathlib import Path

import pandas as pd
from ydata_profiling import ProfileReport

table = pd.read_csv(sys.argv[1], low_memory=False)
report = ProfileReport(table, minimal=True, progress_bar=False).to_json()
Path(sys.argv[2]).write_text(report, encoding="utf-8")
