"""The step: reads, computes, checks, and writes all outputs or none."""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from data_validation import checking, computing, inferring, on_cpus, reading, rendering, schemas, storing, targets, topk
from stepkit import uris
from stepkit.errors import StepError, UsageError, near_misses
from stepkit.outputs import Outputs
from stepkit.progress import bar

# Of the anomalies, as many are told with the step's outputs as a terminal shows at the end of a run.
_TOLD = 10
_LONGEST = 400  # characters of each

Statistics = dict[str, dict[str, statistics_pb2.DatasetFeatureStatistics]]


@dataclass(frozen=True)
class _Data:
    """What was computed: split to statistics by slice (the whole split's under `""`); the one to train on first."""

    splits: Sequence[reading.Split]
    statistics: Statistics
    misfits: Sequence[reading.Misfit]


def run(args: argparse.Namespace) -> None:
    """Runs data_validation on parsed arguments.

    Raises:
        UsageError: parameters contradict each other.
        StepError: an input is wrong; or there are anomalies and the policy is to fail.
    """
    _check_thresholds(args)
    crossings = _crossings(args.slices)
    given = schemas.given(args.schema_text, args.schema_uri)
    examples = uris.local_part(args.examples)
    splits = reading.open_splits(examples)
    _check_slices(crossings, splits, given)
    if given is not None:
        schemas.check_environments(args.environments, [split.name for split in splits], given)
    baseline = storing.read(args.baseline_statistics_uri, "baseline statistics") if _has_baseline(args) else None
    serving = storing.read(args.serving_statistics_uri, "serving statistics") if args.serving_statistics_uri else None

    data = _compute(args, examples, splits, given, crossings)
    whole = [data.statistics[split.name][""] for split in splits]
    by_split = {split.name: dataset for split, dataset in zip(splits, whole, strict=True)}
    unchecked = targets.check(args.label_key, args.weight_key, by_split, splits[0].name)
    schema = given or inferring.infer(whole[0], whole[1:])
    environments = args.environments if given is not None else {}
    results = _check(args, data, schema, environments, baseline, serving)
    findings = [found for result in results for found in result.findings]
    for found in findings:
        print(f"anomaly: {found}", flush=True)
    if findings and args.on_anomaly == "fail":
        listed = "".join(f"\n  - {found}" for found in findings)
        raise StepError(
            f"The data has {_count(len(findings), 'anomaly', 'anomalies')}, and --on-anomaly is fail:{listed}\n"
            "Nothing was written; --on-anomaly warn writes the report and goes on with valid=false."
        )
    notes = [*_notes(args, data, schema, given is not None, results), *unchecked]
    _write(args, data, schema, results, notes)
    print(f"{'valid' if not findings else 'invalid'}: {_count(len(findings), 'anomaly', 'anomalies')}", flush=True)


def check_parameters(args: argparse.Namespace) -> None:
    """Checks the parameters and, where they are given, the schema and the examples' columns; reads no row.

    Raises:
        UsageError, StepError: as `run`.
    """
    _check_thresholds(args)
    crossings = _crossings(args.slices)
    given = schemas.given(args.schema_text, args.schema_uri)
    splits = reading.open_splits(uris.local_part(args.examples)) if args.examples else []
    if splits:
        _check_slices(crossings, splits, given)
    if given is not None:
        named = [split.name for split in splits] if splits else list(args.environments)
        schemas.check_environments(args.environments, named, given)


def _has_baseline(args: argparse.Namespace) -> bool:
    return storing.is_there(args.baseline_statistics_uri)


def _check_thresholds(args: argparse.Namespace) -> None:
    for flag in ("drift_threshold", "skew_threshold"):
        value = getattr(args, flag)
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"--{flag.replace('_', '-')} is {value}; give 0 or a positive number")


def _crossings(slices: Sequence[Any]) -> list[list[str]]:
    crossings = []
    for item in slices:
        names = [item] if isinstance(item, str) else item
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise UsageError(f"--slices has {item!r}; give names of features, or arrays of names to cross")
        crossings.append(sorted(set(names)))
    return [names for number, names in enumerate(crossings) if names not in crossings[:number]]


def _check_slices(
    crossings: Sequence[Sequence[str]], splits: Sequence[reading.Split], schema: schema_pb2.Schema | None
) -> None:
    known = {name for split in splits for name in split.columns} | set(schemas.kinds(schema))
    for name in (name for names in crossings for name in names):
        if name not in known:
            raise StepError(
                f"--slices names a column {name!r} that the examples don't have. {near_misses(name, known)}"
            )


def _compute(
    args: argparse.Namespace,
    examples: Path,
    splits: Sequence[reading.Split],
    schema: schema_pb2.Schema | None,
    crossings: Sequence[Sequence[str]],
) -> _Data:
    misfits: list[reading.Misfit] = []
    work: dict[str, tuple[Sequence[reading.Chunk], computing.Task]] = {}
    for split in splits:
        kinds, wrong = reading.choose_kinds(split, schemas.kinds(schema))
        misfits += wrong
        present = tuple(names for names in crossings if set(names) <= set(split.columns))
        task = computing.Task(kinds, present, schema.SerializeToString() if schema else b"")
        work[split.name] = (reading.chunks(split.parts, computing.SLICED_ROWS if present else reading.CHUNK_ROWS), task)
    if args.beam_args:
        from data_validation import on_beam  # pylint: disable=import-outside-toplevel  # Beam's I/O, for those who ask

        source = on_beam.Source(examples, reading.declared_uri(args.executor_input))
        statistics = on_beam.of_splits(work, args.beam_args, source)
    else:
        with bar("statistics", sum(split.rows for split in splits)) as advance:
            statistics = on_cpus.of_splits(work, advance)
    for split in splits:
        print(
            f"{split.name}: {split.rows:,} rows, {len(split.columns)} columns, "
            f"{_count(len(statistics[split.name]) - 1, 'slice', 'slices')}",
            flush=True,
        )
    for note in _estimates(statistics):
        print(note, flush=True)
    return _Data(splits, statistics, misfits)


def _estimates(statistics: Statistics) -> list[str]:
    """Says which features' counts are estimates, and where."""
    where: dict[str, list[str]] = {}
    for split, by_slice in statistics.items():
        for of, dataset in by_slice.items():
            for name in topk.estimated(dataset):
                where.setdefault(name, []).append(f"{split}/{of}" if of else split)
    return [
        f"The most frequent values of {name!r} and their number are estimates in {', '.join(datasets)}: there are more "
        f"than {topk.MOST_VALUES:,} distinct values, or {topk.MOST_BYTES >> 20} MiB of them."
        for name, datasets in where.items()
    ]


def _check(
    args: argparse.Namespace,
    data: _Data,
    schema: schema_pb2.Schema,
    environments: Mapping[str, str],
    baseline: Mapping[str, statistics_pb2.DatasetFeatureStatistics] | None,
    serving: Mapping[str, statistics_pb2.DatasetFeatureStatistics] | None,
) -> list[checking.Result]:
    whole = {name: by_slice[""] for name, by_slice in data.statistics.items()}
    results = [
        checking.against_schema(
            name,
            statistics,
            schema,
            environments.get(name),
            [misfit for misfit in data.misfits if misfit.split == name],
        )
        for name, statistics in whole.items()
    ]
    comparisons = [("skew", data.splits[0].name, serving, args.skew_threshold)] if serving is not None else []
    if baseline is not None:
        comparisons += [("drift", name, baseline, args.drift_threshold) for name in whole]
    for check, name, others, threshold in comparisons:
        other = checking.counterpart(others, name)
        if other is not None:
            results.append(checking.against_statistics(check, name, whole[name], other, schema, threshold))
    return results


def _notes(
    args: argparse.Namespace,
    data: _Data,
    schema: schema_pb2.Schema,
    given: bool,
    results: Sequence[checking.Result],
) -> list[str]:
    known = set(schemas.kinds(schema))
    extra = list(dict.fromkeys(name for split in data.splits for name in split.columns if name not in known))
    done = {check: [result.split for result in results if result.check == check] for check in ("drift", "skew")}
    notes = [
        "The schema was given." if given else f"The schema was inferred from the split {data.splits[0].name!r}.",
        *([f"Columns not in the schema, and so not checked: {', '.join(extra)}."] if extra else []),
        *(["--environments was not used: an inferred schema has none."] if args.environments and not given else []),
        *_estimates(data.statistics),
    ]
    if not args.baseline_statistics_uri:
        notes.append("No drift check: no baseline statistics were given.")
    elif not _has_baseline(args):
        notes.append(f"No drift check: there are no baseline statistics at {args.baseline_statistics_uri!r} yet.")
    else:
        notes += [
            f"No drift check of {name!r}: the baseline statistics have no such split."
            for name in data.statistics
            if name not in done["drift"]
        ]
    if not args.serving_statistics_uri:
        notes.append("No skew check: no serving statistics were given.")
    elif not done["skew"]:
        notes.append("No skew check: the serving statistics have several datasets, none named as the training split.")
    return notes


def _write(
    args: argparse.Namespace,
    data: _Data,
    schema: schema_pb2.Schema,
    results: Sequence[checking.Result],
    notes: Sequence[str],
) -> None:
    count = sum(len(result.findings) for result in results)
    drifted = checking.has_drifted(results)
    whole = {name: by_slice[""] for name, by_slice in data.statistics.items()}
    sliced = {
        f"{name}/{of}": dataset for name, by_slice in data.statistics.items() for of, dataset in by_slice.items() if of
    }
    with Outputs(args.executor_input) as outputs:
        storing.write(outputs.directory(args.statistics), {**whole, **sliced})
        outputs.file(args.schema).write_text(text_format.MessageToString(schema), encoding="utf-8")
        anomalies = outputs.directory(args.anomalies)
        for result in results:
            base = anomalies if result.check == "schema" else anomalies / result.check
            target = base / result.split / "anomalies.pbtxt"
            target.parent.mkdir(parents=True)
            target.write_text(text_format.MessageToString(result.anomalies), encoding="utf-8")
        page = rendering.page(whole, sliced, schema, results, notes)
        outputs.file(args.report).write_text(page, encoding="utf-8")
        outputs.parameter(args.valid, count == 0)
        outputs.parameter(args.anomaly_count, count)
        outputs.parameter(args.drift_detected, drifted)
        rows = {split.name: split.rows for split in data.splits}
        outputs.metadata("statistics", {"splits": list(rows), "rows": rows})
        told: dict[str, Any] = {"anomaly_count": count, "drift_detected": drifted, "valid": count == 0}
        if count:
            told["anomalies"] = first_in_words(results)
        outputs.metadata("anomalies", told)


def first_in_words(results: Sequence[checking.Result]) -> list[str]:
    """Returns the first anomalies in words, of which a run's end can tell: lines that fit a record and a terminal."""
    found = [str(finding) for result in results for finding in result.findings][:_TOLD]
    return [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}" for line in found]


def _count(number: int, one: str, many: str) -> str:
    return f"{number or 'no'} {one if number == 1 else many}"
