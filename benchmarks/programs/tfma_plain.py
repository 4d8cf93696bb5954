"""TFMA's own run_model_analysis, with the configuration that evaluate makes. Runs in evaluate's environment."""

import argparse
import json
from pathlib import Path

import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from evaluate import config, entries, problem, thresholds

from stepkit import tasks


def main() -> None:
    """Evaluates."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "model", "label-key", "out"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("metrics", "thresholds", "slices"):
        parser.add_argument(f"--{name}", type=json.loads, required=True)
    args = parser.parse_args()
    slices = thresholds.parse_slices(args.slices)
    asked = problem.of_model(Path(args.model), args.label_key)
    metrics = entries.expand(entries.parse(args.metrics), asked)
    limits = thresholds.parse_thresholds(args.thresholds, [metric.shown for metric in metrics], slices)
    eval_config = config.build(metrics, limits, slices, asked, False)
    for spec in eval_config.model_specs:
        spec.signature_name = "serving_default"
        spec.prediction_key = tasks.ANSWERS[asked.task]
    tfma.run_model_analysis(
        eval_shared_model=tfma.default_eval_shared_model(args.model, eval_config=eval_config),
        eval_config=eval_config,
        data_location=args.data,
        output_path=args.out,
        # Without a name Beam would look for a binary on the internet first.
        pipeline_options=PipelineOptions(["--runner=FnApiRunner"]),
    )


if __name__ == "__main__":
    main()
