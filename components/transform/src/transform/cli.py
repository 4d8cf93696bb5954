"""The command line."""

import argparse
from collections.abc import Sequence

from stepkit import cli
from stepkit.errors import UsageError
from stepkit.outputs import Outputs

FORMATS = ("tfrecord", "parquet")
COMPRESSIONS = ("gzip", "none")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of this component's flags."""
    parser = argparse.ArgumentParser(
        prog="transform",
        description="Analyses splits with the pipeline's preprocessing_fn (TFT on Beam) and applies it to all splits.",
    )
    parser.add_argument("--examples", required=True, help="output of extract: a folder or URI")
    parser.add_argument("--schema", required=True, help="output of data_validation: a schema proto as text")
    cli.add_module(parser, "preprocessing_fn(inputs)")
    parser.add_argument(
        "--analyze-splits",
        type=cli.json_array,
        default=["train"],
        help='splits that vocabularies, means and the like are computed from, as a JSON array; default: ["train"]',
    )
    parser.add_argument("--output-format", default="tfrecord", choices=FORMATS, help="default: tfrecord, of tf.Example")
    parser.add_argument("--compression", default="gzip", choices=COMPRESSIONS, help="default: gzip")
    cli.add_beam_args(parser)
    parser.add_argument(
        "--transform-graph", required=True, help="where TFT's output goes, loadable by TFTransformOutput"
    )
    parser.add_argument("--transformed-examples", required=True, help="where the transformed splits go")
    cli.add_executor_input(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the component and returns its exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), transform, argv)


def transform(args: argparse.Namespace) -> None:
    """The step: reads the schema, the module and the manifest, then analyses, applies and writes.

    Raises:
        UsageError: the arguments don't go together.
        StepError: an input is wrong. Either way nothing is written.
    """
    if not args.analyze_splits:
        raise UsageError("--analyze-splits names no split")
    from transform import beam_pipeline, manifest, raw_schema, shards
    from transform.preprocessing import Preprocessing
    from transform.workplace import open_workplace

    preprocessing = Preprocessing.load(args.module, args.module_uri)
    schema = raw_schema.read(args.schema)
    with (
        open_workplace(args.beam_args) as workplace,
        workplace.readable(args.examples, "examples") as examples,
        Outputs(args.executor_input) as outputs,
    ):
        plan = shards.plan(examples, schema, args.output_format, args.compression)
        analyzed = shards.select(plan, args.analyze_splits, schema)
        applied = [shard for split in plan.values() for shard in split]
        job = beam_pipeline.Job(preprocessing, schema, analyzed, applied, args.compression)
        graph, transformed = outputs.directory(args.transform_graph), outputs.directory(args.transformed_examples)
        with workplace.folder(graph) as graph_uri, workplace.folder(transformed) as transformed_uri:
            beam_pipeline.run(job, workplace.options, workplace.scratch, graph_uri, transformed_uri)
        raw_schema.write(schema, graph)
        written = manifest.write(transformed, args.output_format, args.compression, plan)
        for split, described in written["splits"].items():
            print(f"{split}: {described['rows']:,} rows, {described['bytes']:,} bytes")
        outputs.metadata(
            "transformed_examples",
            {"format": args.output_format, "rows": {name: split["rows"] for name, split in written["splits"].items()}},
        )
