"""Runs TFX's pipeline on a folder of CSV files with LocalDagRunner, from the data to the pushed model."""

import argparse
import json
from pathlib import Path

import common
import tensorflow_model_analysis as tfma
from tfx import v1 as tfx


def build(args: argparse.Namespace) -> tfx.dsl.Pipeline:
    """Returns the pipeline: TFX's standard components, all but a Tuner and an InfraValidator."""
    examples, statistics, schema = common.ingest(args.data)
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    transform, module_file = common.transform(
        args.module,
        args.sparse,
        False,  # statistics of Transform's own
        args.root,
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
    )
    trainer = tfx.components.Trainer(
        module_file=module_file,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=tfx.proto.TrainArgs(),
        eval_args=tfx.proto.EvalArgs(),
        custom_config={
            "epochs": args.epochs,
            "batch_rows": args.batch_rows,
            "seed": args.seed,
            "raw_label": args.raw_label,
        },
    )
    evaluator = tfx.components.Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        schema=schema.outputs["schema"],
        eval_config=_eval_config(args),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(args.root / "serving"))
        ),
    )
    components = [examples, statistics, schema, validator, transform, trainer, evaluator, pusher]
    return common.pipeline(args.root, "benchmark", components)


def _eval_config(args: argparse.Namespace) -> tfma.EvalConfig:
    # Of all rows alone: a plain `threshold` is one of every slice, where the smallest would fail the model.
    overall = tfma.PerSliceMetricThreshold(
        slicing_specs=[tfma.SlicingSpec()],
        threshold=tfma.MetricThreshold(
            value_threshold=tfma.GenericValueThreshold(lower_bound={"value": args.least_auc})
        ),
    )
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name="serving_default",
                preprocessing_function_names=["transform_features"],
                label_key=args.label,
            )
        ],
        slicing_specs=[tfma.SlicingSpec(), *[tfma.SlicingSpec(feature_keys=[name]) for name in args.slices]],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(class_name="AUC", per_slice_thresholds=[overall]),
                    tfma.MetricConfig(class_name="BinaryAccuracy"),
                    tfma.MetricConfig(class_name="ExampleCount"),
                ]
            )
        ],
        options=tfma.Options(include_default_metrics={"value": False}),
    )


def main() -> None:
    """Runs the pipeline; exits with 1 if no model was pushed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.csv and eval.csv")
    parser.add_argument("--module", type=Path, required=True, help="pipelines/NAME/module.py")
    parser.add_argument("--root", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-rows", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--label", required=True, help="transformed feature")
    parser.add_argument("--raw-label", required=True, help="raw feature that requests don't have")
    parser.add_argument("--slices", type=json.loads, required=True, help="JSON array of raw features")
    parser.add_argument("--sparse", type=json.loads, default=[], help="JSON array of raw features (see user_module.py)")
    parser.add_argument("--least-auc", type=float, required=True)
    args = parser.parse_args()
    tfx.orchestration.LocalDagRunner().run(build(args))
    if not any((args.root / "serving").glob("*/saved_model.pb")):
        raise SystemExit("no model was pushed: the evaluation didn't bless it")


if __name__ == "__main__":
    main()
