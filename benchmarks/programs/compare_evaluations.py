"""Prints the largest absolute difference of two TFMA results over all metrics and slices, as JSON.

Runs in evaluate's environment. Takes the two folders.
"""

import json
import math
import sys

import tensorflow_model_analysis as tfma


def values(folder: str) -> dict[tuple, float]:
    """Returns (slice, classes, metric) to value; those that aren't single numbers are left out."""
    return {
        (key, classes, name): float(value["doubleValue"])
        for key, metrics in tfma.load_eval_result(folder).slicing_metrics
        for classes, named in metrics[""].items()
        for name, value in named.items()
        if "doubleValue" in value and not math.isnan(float(value["doubleValue"]))
    }


ours, theirs = map(values, sys.argv[1:])
difference = max(abs(ours[key] - theirs[key]) for key in ours.keys() & theirs.keys())
print(json.dumps({"max_difference": difference, "values_missing": len(ours.keys() ^ theirs.keys())}))
