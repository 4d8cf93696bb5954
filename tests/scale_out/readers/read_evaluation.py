"""Prints evaluation artifacts as a JSON array: metrics and plots a slice. Runs in evaluate's environment."""

import json
import sys
from typing import Any

import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from google.protobuf.message import Message


def read(folder: str) -> dict:
    return {
        "metrics": {_slice(found): _by_key(found.metric_keys_and_values) for found in tfma.load_metrics(folder)},
        "plots": {_slice(found): _by_key(found.plot_keys_and_values) for found in tfma.load_plots(folder)},
    }


def _slice(found: Message) -> str:
    return json.dumps([json_format.MessageToDict(key) for key in found.slice_key.single_slice_keys])


def _by_key(pairs: Any) -> dict:
    found = [json_format.MessageToDict(pair) for pair in pairs]
    return {json.dumps(pair.pop("key", {}), sort_keys=True): pair for pair in found}


json.dump([read(folder) for folder in sys.argv[1:]], sys.stdout)
