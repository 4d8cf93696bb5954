"""The command line."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepkit import cli, lean, saved_models, uris
from stepkit.errors import UsageError
from stepkit.outputs import Outputs

FORMATS = ("tfrecord", "parquet")
COMPRESSIONS = ("gzip", "none")
Facts = tuple[Any, ...]  # what `transform.job.plan` takes beside the examples
TRANSFORM_FN = "transform_fn"  # TFTransformOutput.TRANSFORM_FN_DIR: where TFT's SavedModel is in the graph's folder


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of this component's flags."""
    parser = argparse.ArgumentParser(
        prog="transform",
        description="Analyses splits with the pipeline's preprocessing_fn (TFT) and applies it to all splits.",
    )
    parser.add_argument("--examples", required=True, help="output of extract: a folder or URI")
    parser.add_argument("--schema", required=True, help="output of data_validation: a schema proto as text")
    cli.add_module(parser, "preprocessing_fn(inputs)")
    parser.add_argument(
        "--label-key", default="", help="transformed feature that the model predicts; empty: the module's LABEL, if any"
    )
    parser.add_argument(
        "--analyze-splits",
        type=cli.json_array,
        default=["train"],
        help='splits that vocabularies, means and the like are computed from, as a JSON array; default: ["train"]',
    )
    parser.add_argument("--output-format", default="tfrecord", choices=FORMATS, help="default: tfrecord, of tf.Example")
    parser.add_argument("--compression", default="gzip", choices=COMPRESSIONS, help="default: gzip")
    parser.add_argument(
        "--analysis-cache-uri",
        default="",
        help="folder that keeps what was analysed of each examples file, so that only new files are read; empty: none",
    )
    cli.add_beam_args(parser)
    parser.add_argument(
        "--transform-graph", required=True, help="where TFT's output goes, loadable by TFTransformOutput"
    )
    parser.add_argument("--transformed-examples", required=True, help="where the transformed splits go")
    parser.add_argument(
        "--raw-schema", default="", help="output file: the schema, in which serving lacks what only the label is of"
    )
    cli.add_executor_input(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the component and returns its exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), transform, argv, check)


def check(args: argparse.Namespace) -> None:
    """Loads the module, and traces it where the schema is given; reads no row.

    Raises:
        UsageError, StepError: as `transform`.
    """
    if not args.analyze_splits:
        raise UsageError("--analyze-splits names no split")
    if not args.module and not args.module_uri:
        return  # another step gives it later
    lean.import_tensorflow()
    from transform import raw_schema, targets, tracing
    from transform.preprocessing import Preprocessing

    preprocessing = Preprocessing.load(args.module, args.module_uri)
    wanted = targets.of_module(preprocessing.module, args.label_key)
    if args.schema:
        with tempfile.TemporaryDirectory(prefix="transform-") as scratch:
            trace = tracing.Trace(preprocessing, raw_schema.read(args.schema), Path(scratch))
        targets.among(wanted, trace.outputs)


def transform(args: argparse.Namespace) -> None:
    """The step: reads the schema, the module and the manifest, then analyses, applies and writes.

    Raises:
        UsageError: the arguments don't go together.
        StepError: an input is wrong. Either way nothing is written.
    """
    if not args.analyze_splits:
        raise UsageError("--analyze-splits names no split")
    lean.import_tensorflow()
    from transform import environments, manifest, raw_schema, targets
    from transform.preprocessing import Preprocessing

    preprocessing = Preprocessing.load(args.module, args.module_uri)
    wanted = targets.of_module(preprocessing.module, args.label_key)
    schema = raw_schema.read(args.schema)
    with Outputs(args.executor_input) as outputs:
        graph, transformed = outputs.directory(args.transform_graph), outputs.directory(args.transformed_examples)
        facts = (preprocessing, schema, args.analyze_splits, args.output_format, args.compression, wanted)
        done = None if args.beam_args else _in_process(args, facts, graph, transformed, outputs)
        job, trace = done or _on_beam(args, facts, graph, transformed)
        saved_models.make_canonical(graph / TRANSFORM_FN)
        schema = environments.marked(schema, trace, targets.among(wanted, trace.outputs))
        raw_schema.write(schema, graph)
        if args.raw_schema:
            outputs.file(args.raw_schema).write_text(raw_schema.text(schema), encoding="utf-8")
        written = manifest.write(transformed, args.output_format, args.compression, job.splits)
        for split, described in written["splits"].items():
            print(f"{split}: {described['rows']:,} rows, {described['bytes']:,} bytes")
        outputs.metadata(
            "transformed_examples",
            {"format": args.output_format, "rows": {name: split["rows"] for name, split in written["splits"].items()}},
        )


def _in_process(args: argparse.Namespace, facts: Facts, graph: Path, transformed: Path, outputs: Outputs) -> Any:
    """Returns the job that was done and preprocessing_fn's trace, or None if only Beam can do it."""
    from transform import analysis, in_process, job

    with uris.local_copy(args.examples, "examples") as examples:
        planned = job.plan(str(examples), *facts)
        try:
            trace = in_process.run(planned, graph, transformed, args.analysis_cache_uri, outputs)
        except analysis.NeedsBeam as reason:
            print(f"Running on Beam, which is slower: {reason}.", file=sys.stderr)
            return None
    return planned, trace


def _on_beam(args: argparse.Namespace, facts: Facts, graph: Path, transformed: Path) -> Any:
    """Returns the job that was done and preprocessing_fn's trace."""
    from stepkit.workplace import open_workplace
    from transform import beam_pipeline, job, tracing

    if args.analysis_cache_uri:
        print("Beam doesn't use --analysis-cache-uri: all shards are analysed.", file=sys.stderr)
    with (
        open_workplace(args.beam_args, "transform") as workplace,
        workplace.readable(args.examples, "examples") as examples,
        workplace.folder(graph) as graph_uri,
        workplace.folder(transformed) as transformed_uri,
    ):
        planned = job.plan(examples, *facts)
        beam_pipeline.run(planned, workplace.options, workplace.scratch, graph_uri, transformed_uri)
    with tempfile.TemporaryDirectory(prefix="transform-") as scratch:
        return planned, tracing.Trace(planned.preprocessing, planned.schema, Path(scratch))
