"""The command line."""

import argparse
from collections.abc import Sequence

from stepkit import cli
from stepkit.outputs import Outputs
from summarize import status, versions, writing


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser with every input and output of `component.yaml`."""
    parser = argparse.ArgumentParser(
        prog="summarize", description="Writes the summary of a run when it ends, however it ends."
    )
    parser.add_argument(
        "--status",
        nargs="?",
        const="",
        default="",
        help="KFP's PipelineTaskFinalStatus as JSON; the backend fills it in",
    )
    parser.add_argument("--pipeline", required=True, help="name of the pipeline")
    parser.add_argument("--run-id", required=True, help="id of the run")
    parser.add_argument(
        "--serving-uri", default="", help="base of the TF Serving layout, to tell whether this run pushed a version"
    )
    parser.add_argument("--model-name", default="", help="name of the served model")
    parser.add_argument("--summary", required=True, help="output file: state, error and what was deployed, as Markdown")
    parser.add_argument("--outcome", default="", help="output parameter: deployed, not deployed or failed")
    cli.add_executor_input(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the step and returns its exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), _step, argv)


def _step(args: argparse.Namespace) -> None:
    ended = status.parse(args.status)
    found = versions.look(args.serving_uri, args.model_name, args.run_id)
    outcome = writing.outcome_of(ended, found)
    with Outputs(args.executor_input) as outputs:
        text = writing.summary(args.pipeline, args.run_id, args.model_name, ended, found)
        outputs.file(args.summary).write_text(text, encoding="utf-8")
        outputs.parameter(args.outcome, outcome)
        outputs.metadata("summary", {"outcome": outcome, "run_id": args.run_id})
