"""Prints the largest absolute difference of two TFMA results over all metrics and slices, as JSON.

Runs in evaluate's environment. Takes the two folders.
"""

import json
import math
import sys

import tensorflow_model_analysis as tfma


def values(folder: str) -> dict[tuple, float]:
    """Returns (slice, metric) to value; those that aren't single numbers are left out."""
    found = {}
    for key, metrics in tfma.load_eval_result(folder).slicing_metrics:
        for name, value in metrics[""][""].items():
            if "doubleValue" in value and not math.isnan(value["doubleValue"]):
                found[key, name] = value["doubleValue"]
    return found


ours, theirs = map(values, sys.argv[1:])
difference = max(abs(ours[key] - theirs[key]) for key in ours.keys() & theirs.keys())
print(json.dumps({"max_difference": difference, "values_missing": len(ours.keys() ^ theirs.keys())}))
