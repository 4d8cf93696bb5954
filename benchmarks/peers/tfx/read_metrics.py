"""Prints the overall metrics of an Evaluator's output, as JSON."""

import json
import sys
from pathlib import Path

import tensorflow_model_analysis as tfma


def main() -> None:
    """Takes the folder of run_pipeline.py's --root."""
    (evaluation,) = Path(sys.argv[1]).glob("benchmark/Evaluator/evaluation/*")
    result = tfma.load_eval_result(str(evaluation))
    (overall,) = [metrics for key, metrics in result.slicing_metrics if not key]
    values = overall[""][""]
    print(json.dumps({name: value["doubleValue"] for name, value in values.items() if "doubleValue" in value}))


if __name__ == "__main__":
    main()
