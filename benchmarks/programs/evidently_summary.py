"""evidently's data summary of a CSV file, as JSON. Runs in the environment of peers/evidently."""

import sys
from pathlib import Path

import pandas as pd
from evidently import Dataset, Report
from evidently.presets import DataSummaryPreset

dataset = Dataset.from_pandas(pd.read_csv(sys.argv[1], low_memory=False))
report = Report([DataSummaryPreset()]).run(dataset, None)
Path(sys.argv[2]).write_text(report.json(), encoding="utf-8")
