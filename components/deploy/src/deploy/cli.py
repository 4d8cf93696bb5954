"""The command line."""

import argparse
from collections.abc import Sequence

from deploy import parameters
from rollout.policy import DIRECT
from stepkit import cli, lean, registry


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser with every input and output of `component.yaml`."""
    parser = argparse.ArgumentParser(
        prog="deploy",
        description="Checks the model by loading it and answering sample rows, pushes it to a TF Serving layout, "
        "registers it, and stages it for what serves.",
    )
    inputs = parser.add_argument_group("inputs")
    _add_model(inputs)
    _add_traffic(inputs)
    _add_checks(inputs)
    _add_outputs(parser.add_argument_group("outputs"))
    cli.add_executor_input(parser)
    return parser


def _add_model(inputs: argparse._ArgumentGroup) -> None:
    """What is deployed, where it is pushed, and how it is registered."""
    inputs.add_argument("--model", required=True, help="SavedModel: output of train")
    inputs.add_argument("--examples", required=True, help="output of extract: sample rows to answer")
    inputs.add_argument("--schema", required=True, help="output of data_validation")
    inputs.add_argument("--metrics", required=True, help="output of evaluate, recorded in the registry")
    inputs.add_argument(
        "--statistics",
        required=True,
        help="output of data_validation, pushed with the model: what drift is measured from",
    )
    inputs.add_argument(
        "--serving-uri", required=True, help="base of the TF Serving layout: versions go to SERVING_URI/MODEL_NAME/N/"
    )
    inputs.add_argument("--model-name", required=True, help="name of the served and registered model")
    inputs.add_argument(
        "--registry-uri", required=True, help="MLflow registry, e.g. sqlite:///FILE or an http(s) server"
    )
    inputs.add_argument(
        "--alias",
        choices=(registry.CHAMPION, registry.CHALLENGER),
        default=registry.CHAMPION,
        help="challenger leaves the champion in place",
    )


def _add_traffic(inputs: argparse._ArgumentGroup) -> None:
    """What serves it, and how it gets its share of the traffic."""
    inputs.add_argument(
        "--strategy",
        default=DIRECT,
        help="direct: all traffic at once; canary: a share of it, that grows; shadow: copies of it. The first version "
        "of a model is always direct",
    )
    inputs.add_argument(
        "--rollout-policy",
        type=cli.json_object,
        default={},
        help='what a canary or shadow rollout may do, e.g. {"steps": [10, 50, 100], "error_margin": 0.01}',
    )
    inputs.add_argument(
        "--serving-target",
        default="local",
        help="what serves: local (follows rollout.json), tfserving (reads models.config), kserve (a cluster) or vertex "
        "(an endpoint of Vertex AI)",
    )
    inputs.add_argument(
        "--serving-options",
        type=cli.json_object,
        default={},
        help='where and how the target serves, e.g. of kserve {"namespace": "models", "mode": "Standard", ...}; no '
        "secret",
    )


def _add_checks(inputs: argparse._ArgumentGroup) -> None:
    """What it must answer before, and what lies beside it."""
    inputs.add_argument("--eval-split", default="eval", help="split that sample rows are taken from")
    inputs.add_argument(
        "--sample-rows", type=cli.integer, default=32, help="rows the model must answer before it is pushed"
    )
    inputs.add_argument(
        "--operating-point",
        type=cli.json_object,
        default={},
        help="output of evaluate, pushed with the model: the threshold that meets a target; {}: none",
    )
    cli.add_module(inputs, "MODEL_CARD: what people say of the model; its source is read and not run")
    inputs.add_argument(
        "--lineage",
        type=cli.json_object,
        default={},
        help="what else is known of where the model is from, for its card: "
        '{"commit": "...", "images": {"train": "..."}}',
    )
    inputs.add_argument("--run-id", default="", help="run that made the model, for lineage")


def _add_outputs(outputs: argparse._ArgumentGroup) -> None:
    outputs.add_argument(
        "--infra-validation", required=True, help="JSON file: rows asked, answers, difference of the signatures"
    )
    outputs.add_argument(
        "--pushed-model",
        required=True,
        help="JSON file: name, version, URI, digest, alias, lineage, task, renamed arguments",
    )
    outputs.add_argument(
        "--model-card", default="", help="JSON file: the model card, with the Model Card Toolkit's field names"
    )
    outputs.add_argument("--model-card-page", default="", help="HTML file: the model card as a page")
    outputs.add_argument("--pushed-uri", default="", help="file: where the version is")
    outputs.add_argument("--version", default="", help="file: its number")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the step; returns the exit code (see `stepkit.cli.run`)."""

    def step(args: argparse.Namespace) -> None:
        lean.import_tensorflow()
        from deploy.step import run

        run(args)

    return cli.run(build_parser(), step, argv, parameters.check)
