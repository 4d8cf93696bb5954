"""Anomalies of statistics against a schema, and their distances to other statistics (drift, skew)."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tensorflow_data_validation.api.validation_api import validate_statistics
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from data_validation import remedies, schemas
from data_validation.reading import Misfit
from stepkit.schemas import in_use

ALL_EXAMPLES = "All Examples"

_ABSENCES = {"SCHEMA_MISSING_COLUMN", "FEATURE_TYPE_NOT_PRESENT", "FEATURE_TYPE_LOW_FRACTION_PRESENT"}

_DISTANCES = {
    anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY: "L-infinity",
    anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: "Jensen-Shannon divergence",
    anomalies_pb2.DriftSkewInfo.Measurement.NORMALIZED_ABSOLUTE_DIFFERENCE: "normalized absolute difference",
}


@dataclass(frozen=True)
class Finding:
    """One anomaly.

    Attributes:
        check: `schema`, `drift` or `skew`.
        feature: its name; empty if the whole split is meant.
        kind: name of TFDV's AnomalyInfo.Type.
        problem: what is wrong, with the offending values.
        remedy: what to do about it.
    """

    check: str
    split: str
    feature: str
    kind: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        checked = "" if self.check == "schema" else f" ({self.check})"
        about = f"{self.feature!r}" if self.feature else "the split"
        return f"{self.split}{checked}: {about}: {self.problem} {self.remedy}"


@dataclass(frozen=True)
class Distance:
    """How far a feature's distribution is from what it is compared with."""

    check: str
    split: str
    feature: str
    measure: str
    value: float
    threshold: float

    @property
    def exceeded(self) -> bool:
        return self.value > self.threshold


@dataclass(frozen=True)
class Result:
    """What one check of one split found; `anomalies` is TFDV's record of it."""

    check: str
    split: str
    anomalies: anomalies_pb2.Anomalies
    findings: Sequence[Finding]
    distances: Sequence[Distance] = field(default_factory=tuple)


def against_schema(
    split: str,
    statistics: statistics_pb2.DatasetFeatureStatistics,
    schema: schema_pb2.Schema,
    environment: str | None,
    misfits: Sequence[Misfit] = (),
) -> Result:
    """Checks a split's statistics against the schema.

    Columns that the schema doesn't have are none of its business, so they are left out, where TFDV by itself would
    call each an anomaly. A feature whose column isn't there is an anomaly even where its presence is optional: steps
    that read by the schema would fail on it.
    """
    known = {feature.name for feature in schema.feature}
    anomalies = validate_statistics(_list(statistics, known), schema, environment=environment)
    present = names(statistics)
    for feature in in_use(schema, environment or ""):
        if feature.name not in present and feature.name not in anomalies.anomaly_info:
            _add_missing(anomalies, feature.name)
    order = {feature.name: position for position, feature in enumerate(schema.feature)}
    details = {misfit.column: misfit.reason for misfit in misfits}
    for name in order:
        near = difflib.get_close_matches(name, sorted(present - known), n=1)
        if name not in present and near:
            details[name] = f"Did you mean {near[0]!r}, which is in the data but not in the schema?"
    findings = sorted(_findings("schema", split, anomalies, details), key=lambda found: order.get(found.feature, -1))
    return Result("schema", split, anomalies, findings)


def against_statistics(
    check: str,
    split: str,
    statistics: statistics_pb2.DatasetFeatureStatistics,
    other: statistics_pb2.DatasetFeatureStatistics,
    schema: schema_pb2.Schema,
    threshold: float,
) -> Result:
    """Compares a split's distributions with those of an earlier run (`drift`) or of serving data (`skew`).

    Args:
        check: `drift` or `skew`.
        threshold: for features without a comparator in the schema; 0: only those with one are compared.
    """
    comparing = schemas.comparing(schema, f"{check}_comparator", threshold, _comparable(statistics, other))
    known = {feature.name for feature in schema.feature}
    argument = {"drift": "previous_statistics", "skew": "serving_statistics"}[check]
    anomalies = validate_statistics(_list(statistics, known), comparing, **{argument: _list(other, known)})
    _keep_comparisons(anomalies)
    findings = sorted(_findings(check, split, anomalies, {}), key=lambda found: found.feature)
    return Result(check, split, anomalies, findings, tuple(_distances(check, split, anomalies)))


def counterpart(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatistics], split: str
) -> statistics_pb2.DatasetFeatureStatistics | None:
    """Returns the dataset that `split` is compared with: its namesake, else the only one that is no slice."""
    whole = [name for name in statistics if "/" not in name]
    for name in (split, ALL_EXAMPLES):
        if name in statistics:
            return statistics[name]
    return statistics[whole[0]] if len(whole) == 1 else None


def has_drifted(results: Sequence[Result]) -> bool:
    """True if a distribution, or the number of examples, is further from the earlier run than allowed."""
    missing = ("COMPARATOR_CONTROL_DATA_MISSING", "COMPARATOR_TREATMENT_DATA_MISSING")
    return any(found.kind not in missing for result in results if result.check == "drift" for found in result.findings)


def names(statistics: statistics_pb2.DatasetFeatureStatistics) -> set[str]:
    """Returns the names of the features that have statistics."""
    return {_name(feature.path) for feature in statistics.features}


def _name(path: Any) -> str:
    return path.step[0] if path.step else ""


def _list(
    statistics: statistics_pb2.DatasetFeatureStatistics, known: set[str]
) -> statistics_pb2.DatasetFeatureStatisticsList:
    result = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = result.datasets.add(name=statistics.name, num_examples=statistics.num_examples)
    dataset.weighted_num_examples = statistics.weighted_num_examples
    dataset.features.extend(feature for feature in statistics.features if _name(feature.path) in known)
    return result


def _comparable(
    statistics: statistics_pb2.DatasetFeatureStatistics, other: statistics_pb2.DatasetFeatureStatistics
) -> dict[str, str]:
    measures = {"num_stats": "jensen_shannon_divergence", "string_stats": "infinity_norm"}
    mine, theirs = _measured(statistics), _measured(other)
    return {name: measures[kind] for name, kind in mine.items() if kind in measures and theirs.get(name) == kind}


def _measured(statistics: statistics_pb2.DatasetFeatureStatistics) -> dict[str, str]:
    found = {}
    for feature in statistics.features:
        kind = feature.WhichOneof("stats")
        if kind and getattr(feature, kind).common_stats.num_non_missing:
            found[_name(feature.path)] = kind
    return found


def _add_missing(anomalies: anomalies_pb2.Anomalies, name: str) -> None:
    info = anomalies.anomaly_info[name]
    info.path.step.append(name)
    info.severity = anomalies_pb2.AnomalyInfo.ERROR
    info.short_description = "Column dropped"
    info.description = "Column is completely missing"
    info.reason.add(
        type=anomalies_pb2.AnomalyInfo.SCHEMA_MISSING_COLUMN,
        short_description=info.short_description,
        description=info.description,
    )


def _keep_comparisons(anomalies: anomalies_pb2.Anomalies) -> None:
    """Drops what a schema of bare names and types can't help finding: unexpected types, say."""
    for name, info in list(anomalies.anomaly_info.items()):
        kept = [reason for reason in info.reason if _type_name(reason).startswith("COMPARATOR_")]
        if not kept:
            del anomalies.anomaly_info[name]
        elif len(kept) < len(info.reason):
            copies = [anomalies_pb2.AnomalyInfo.Reason.FromString(reason.SerializeToString()) for reason in kept]
            del info.reason[:]
            info.reason.extend(copies)
            info.description = " ".join(reason.description for reason in copies)
            info.short_description = copies[0].short_description if len(copies) == 1 else "Multiple errors"


def _findings(
    check: str, split: str, anomalies: anomalies_pb2.Anomalies, details: Mapping[str, str]
) -> Iterator[Finding]:
    infos = [(_name(info.path) or name, info) for name, info in anomalies.anomaly_info.items()]
    if anomalies.HasField("dataset_anomaly_info"):
        infos.append(("", anomalies.dataset_anomaly_info))
    for name, info in infos:
        kinds = {_type_name(reason) for reason in info.reason}
        for reason in info.reason:
            kind = _type_name(reason)
            if _repeats(kind, kinds):
                continue
            problem = remedies.problem(kind, reason.short_description, reason.description, details.get(name, ""))
            yield Finding(check, split, name, kind, problem, remedies.remedy(kind))


def _repeats(kind: str, kinds: set[str]) -> bool:
    """True if another reason of the same feature says the same: a shape needs every value, a domain needs the type."""
    if kind == "INVALID_FEATURE_SHAPE":
        return bool(kinds & _ABSENCES)
    return "UNEXPECTED_DATA_TYPE" in kinds and kind.startswith(("INT_TYPE_", "FLOAT_TYPE_", "ENUM_TYPE_", "BOOL_TYPE_"))


def _type_name(reason: anomalies_pb2.AnomalyInfo.Reason) -> str:
    return anomalies_pb2.AnomalyInfo.Type.Name(reason.type)


def _distances(check: str, split: str, anomalies: anomalies_pb2.Anomalies) -> Iterator[Distance]:
    for info in anomalies.drift_skew_info:
        for measured in info.drift_measurements if check == "drift" else info.skew_measurements:
            measure = _DISTANCES.get(measured.type, "distance")
            yield Distance(check, split, _name(info.path), measure, measured.value, measured.threshold)
