"""The step: plans, refuses what can't be done, scores, and publishes what came of it."""

import argparse
import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from batch_predict import bigquery, planning, predictions
from batch_predict.planning import Plan
from stepkit import digest, lean, progress, uris
from stepkit.errors import StepError, UsageError
from stepkit.examples import MANIFEST
from stepkit.outputs import Outputs

ONE_FILE = ".parquet"


def check(args: argparse.Namespace, clients: bigquery.Clients = bigquery.google_client) -> None:
    """Checks parameters, and the model and the examples where they are given; reads no row.

    Raises:
        UsageError, StepError: as `run`.
    """
    _check_parameters(args)
    if not args.model:
        _check_destination(args.output_uri, (), clients)
        return
    with uris.local_copy(args.model, "model") as model:
        if args.examples:
            _plan(args, model, args.examples, clients)
            return
        answers = planning.answers_of(model, planning.describe(model), args.operating_point)
        made = [field.name for field in predictions.fields(answers, args.prefix)]
        planning.check_names(args.columns, made)
        _check_destination(args.output_uri, (*args.columns, *made), clients)


def run(args: argparse.Namespace, clients: bigquery.Clients = bigquery.google_client) -> None:
    """Does the step.

    Args:
        clients: makes BigQuery's client for a project.

    Raises:
        UsageError: the arguments don't go together.
        StepError: an input is wrong, or the output is there already. Either way nothing is written.
    """
    _check_parameters(args)
    with uris.local_copy(args.model, "model") as model, _planned(args, model, clients) as (plan, score):
        lean.import_tensorflow()
        with Outputs(args.executor_input) as outputs, tempfile.TemporaryDirectory(prefix="batch_predict-") as scratch:
            artifact = outputs.directory(args.predictions)
            folder, file = _places(args.output_uri, outputs, artifact, Path(scratch))
            score(folder, file)
            written = [file] if file else [folder / shard.target for shard in plan.shards]
            _write_manifest(artifact, args.output_uri, plan, written, file.parent if file else folder)
            outputs.parameter(args.row_count, plan.rows)
            facts = {"task": plan.answers.task, "rows": plan.rows, "columns": plan.schema.names}
            outputs.metadata("predictions", {**facts, **({"uri": args.output_uri} if args.output_uri else {})})
            if bigquery.is_table(args.output_uri):
                bigquery.load(bigquery.parse(args.output_uri), written[0], clients)
            else:
                _check_destination(args.output_uri, (), clients)
    print(f"{plan.rows:,} rows scored{f', to {args.output_uri}' if args.output_uri else ''}.")


def _check_parameters(args: argparse.Namespace) -> None:
    for flag, names in (("--columns", args.columns), ("--splits", args.splits)):
        for name in names:
            if not isinstance(name, str):
                raise UsageError(f"{flag} is an array of names; {name!r} isn't one")
    if args.batch_rows < 1:
        raise UsageError(f"--batch-rows is {args.batch_rows}; give at least 1")
    if bigquery.is_table(args.output_uri):
        bigquery.parse(args.output_uri)


def _plan(args: argparse.Namespace, model: Path, examples: str, clients: bigquery.Clients) -> Plan:
    """Returns what is to be done, once all that can be known says that it can be."""
    description = planning.describe(model)
    answers = planning.answers_of(model, description, args.operating_point)
    made = [field.name for field in predictions.fields(answers, args.prefix)]
    planning.check_names(args.columns, made)
    _check_destination(args.output_uri, (*args.columns, *made), clients)
    return planning.plan(examples, args.splits, description, answers, args.columns, args.prefix, args.batch_rows)


def _check_destination(uri: str, columns: tuple[str, ...], clients: bigquery.Clients) -> None:
    """Raises StepError if there is something where the predictions are to go."""
    if bigquery.is_table(uri):
        bigquery.check(bigquery.parse(uri), columns, clients)
    elif uri and uris.exists(uri):
        raise StepError(f"The output {uri!r} is there already. Give another, or remove it.")


@contextlib.contextmanager
def _planned(
    args: argparse.Namespace, model: Path, clients: bigquery.Clients
) -> Iterator[tuple[Plan, Callable[[Path, Path | None], None]]]:
    """Gives the plan, and what scores by it into a folder, or into one file."""
    if not args.beam_args:
        with uris.local_copy(args.examples, "examples") as examples:
            plan = _plan(args, model, str(examples), clients)
            yield plan, lambda folder, file: _in_process(plan, model, folder, file)
        return
    from stepkit.workplace import open_workplace

    with (
        open_workplace(args.beam_args, "batch_predict") as workplace,
        workplace.readable(args.examples, "examples") as readable,
    ):
        plan = _plan(args, model, readable, clients)
        yield plan, lambda folder, file: _on_beam(plan, model, folder, file, workplace)


def _in_process(plan: Plan, model: Path, folder: Path, file: Path | None) -> None:
    from batch_predict import in_process, scoring

    scorer = scoring.Scorer(model, plan)
    with progress.bar("scoring", plan.rows) as advance:
        in_process.run(plan, scorer, folder, file, advance)


def _on_beam(plan: Plan, model: Path, folder: Path, file: Path | None, workplace: Any) -> None:
    from batch_predict import on_beam, writing

    on_beam.run(plan, model, folder, workplace)
    if file:
        writing.write(file, plan.schema, writing.joined([folder / shard.target for shard in plan.shards]))


def _places(uri: str, outputs: Outputs, artifact: Path, scratch: Path) -> tuple[Path, Path | None]:
    """Returns the folder of the shards' files, and where all are one file, that."""
    if bigquery.is_table(uri):
        return scratch, scratch / "rows.parquet"
    if uri.endswith(ONE_FILE):
        return scratch, outputs.file(uri)
    return (outputs.directory(uri) if uri else artifact), None


def _write_manifest(artifact: Path, uri: str, plan: Plan, written: list[Path], folder: Path) -> None:
    files: list[Mapping[str, Any]] = []
    if not bigquery.is_table(uri):
        names = [""] if uri.endswith(ONE_FILE) else [str(path.relative_to(folder)) for path in written]
        rows = [plan.rows] if uri.endswith(ONE_FILE) else [shard.rows for shard in plan.shards]
        files = [
            {"path": name, "rows": count, "bytes": path.stat().st_size, "sha256": digest.of_file(path)}
            for name, count, path in zip(names, rows, written, strict=True)
        ]
    manifest = {
        "uri": uri,
        "task": plan.answers.task,
        "rows": plan.rows,
        "columns": [{"name": field.name, "type": str(field.type)} for field in plan.schema],
        "files": files,
    }
    (artifact / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
