"""The schema that data is checked against: what is given, its environments and comparators."""

from collections.abc import Mapping, Sequence

from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit.errors import StepError, UsageError, near_misses
from stepkit.schemas import parse, place, read, types


def given(text: str, uri: str) -> schema_pb2.Schema | None:
    """Returns the schema of the parameters, or None if neither is set.

    Args:
        text: the schema as text proto; or
        uri: where it is.

    Raises:
        UsageError: both are set.
        StepError: it can't be read or doesn't parse (names the line), or a feature is unusable or there twice.
    """
    if text and uri:
        raise UsageError("give the schema by at most one of --schema-text and --schema-uri")
    if not text and not uri:
        return None
    where = place(uri) if uri else "given by --schema-text"
    schema = read(uri) if uri else parse(text, where)
    if not schema.feature:
        raise StepError(f"The schema {where} has no features. Add them, or leave the schema out to have it inferred.")
    types(schema.feature, where)
    domains = {domain.name for domain in schema.string_domain}
    for feature in schema.feature:
        if feature.domain and feature.domain not in domains:
            raise StepError(
                f"The schema {where} gives the feature {feature.name!r} the domain {feature.domain!r}, "
                f"for which it has no string_domain. {near_misses(feature.domain, domains)}"
            )
    return schema


def kinds(schema: schema_pb2.Schema | None) -> dict[str, str]:
    """Returns feature name to `INT`, `FLOAT` or `BYTES`."""
    return {feature.name: schema_pb2.FeatureType.Name(feature.type) for feature in (schema.feature if schema else ())}


def check_environments(environments: Mapping[str, object], splits: Sequence[str], schema: schema_pb2.Schema) -> None:
    """Raises: StepError: a split or an environment is not there; names it and near misses."""
    for split, environment in environments.items():
        if split not in splits:
            raise StepError(
                f"--environments names a split {split!r} that the examples don't have. {near_misses(split, splits)}"
            )
        if environment not in schema.default_environment:
            raise StepError(
                f"--environments gives the split {split!r} the environment {environment!r}, "
                f"which is no default_environment of the schema. "
                f"{near_misses(str(environment), schema.default_environment)}"
            )


def comparing(
    schema: schema_pb2.Schema, comparator: str, threshold: float, comparable: Mapping[str, str]
) -> schema_pb2.Schema:
    """Returns a schema that makes TFDV compare distributions and check nothing else.

    Args:
        comparator: `drift_comparator` or `skew_comparator`.
        threshold: what to compare features by for which the schema sets nothing; 0: don't compare those.
        comparable: features with values on both sides, and how to compare them: `infinity_norm` or
            `jensen_shannon_divergence`.
    """
    result = schema_pb2.Schema()
    for feature in schema.feature:
        added = result.feature.add(name=feature.name, type=feature.type, lifecycle_stage=feature.lifecycle_stage)
        if feature.HasField("int_domain"):
            added.int_domain.is_categorical = feature.int_domain.is_categorical
        if feature.HasField(comparator):
            getattr(added, comparator).CopyFrom(getattr(feature, comparator))
        elif threshold > 0 and feature.name in comparable:
            getattr(getattr(added, comparator), comparable[feature.name]).threshold = threshold
    if comparator == "drift_comparator" and schema.dataset_constraints.HasField("num_examples_drift_comparator"):
        result.dataset_constraints.num_examples_drift_comparator.CopyFrom(
            schema.dataset_constraints.num_examples_drift_comparator
        )
    return result
