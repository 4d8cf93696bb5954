"""Prints statistics artifacts as a JSON array: a key a split or slice. Runs in data_validation's environment."""

import json
import sys

from data_validation import storing
from google.protobuf import json_format


def read(folder: str) -> dict:
    datasets = storing.read(folder, "statistics")
    return {name: json_format.MessageToDict(dataset) for name, dataset in datasets.items()}


json.dump([read(folder) for folder in sys.argv[1:]], sys.stdout)
