"""A schema inferred from one sample, of which another sample of the same source is no anomaly.

TFDV's inference takes a sample for all that there can be: each text that it saw for the domain, and a column that has
values for one that always will. What chance alone would break in the next sample isn't kept:

- A feature whose every value is there has a shape, and needs one in every row. It is optional if other splits lack few
  enough values that chance may have put none of them into this one.
- An optional feature needs a value somewhere only if it has so many here that a much smaller sample has some as well.
- Text has a domain if none of its values is rare; otherwise there are likely to be more. Then, too, a small share of
  values may be others.
- Text that reads as numbers is text.
"""

from collections.abc import Iterable, Sequence

from tensorflow_data_validation.api.validation_api import infer_schema
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

# Of an optional feature that needs a value somewhere: a sample a tenth as large then lacks all with e^-20.
_ENOUGH_VALUES = 200
# How often the rarest value of a domain is there: an unseen one is likely rarer than one in n, n being the rows.
_ENOUGH_OF_EACH = 5
# The share of values that has to be of the domain.
_DOMAIN_MASS = 0.95
# That missing values of all splits are in others than the training split by chance is less likely where it isn't so.
_CHANCE = 0.001


def infer(
    training: statistics_pb2.DatasetFeatureStatistics, others: Iterable[statistics_pb2.DatasetFeatureStatistics] = ()
) -> schema_pb2.Schema:
    """Returns the schema of a split's features.

    Args:
        training: statistics of the split.
        others: those of the other splits, which only tell how rare missing values are.
    """
    every = statistics_pb2.DatasetFeatureStatisticsList()
    every.datasets.add().CopyFrom(training)
    schema = infer_schema(every)
    measured = {_name(feature): feature for feature in training.features}
    elsewhere = [{_name(feature): feature for feature in other.features} for other in others]
    for feature in schema.feature:
        seen = measured[feature.name]
        _adjust_presence(feature, seen, [other[feature.name] for other in elsewhere if feature.name in other])
        _adjust_domain(feature, seen)
    used = {feature.domain for feature in schema.feature if feature.domain}
    kept = [domain for domain in schema.string_domain if domain.name in used]
    copies = [schema_pb2.StringDomain.FromString(domain.SerializeToString()) for domain in kept]
    del schema.string_domain[:]
    schema.string_domain.extend(copies)
    return schema


def _adjust_presence(
    feature: schema_pb2.Feature,
    seen: statistics_pb2.FeatureNameStatistics,
    elsewhere: Sequence[statistics_pb2.FeatureNameStatistics],
) -> None:
    rows, missing = _counts(seen)
    if not missing and feature.HasField("shape"):
        others = [_counts(other) for other in elsewhere]
        lacking, share = sum(lacks for _, lacks in others), sum(there for there, _ in others)
        # Each of the missing values is outside this split by chance with the others' share of all rows.
        if not lacking or (share / (rows + share)) ** lacking < _CHANCE:
            return
        feature.ClearField("shape")
        feature.value_count.min = feature.value_count.max = 1
        feature.presence.ClearField("min_fraction")
    if not feature.HasField("shape"):
        feature.presence.min_count = int(rows - missing >= _ENOUGH_VALUES)


def _adjust_domain(feature: schema_pb2.Feature, seen: statistics_pb2.FeatureNameStatistics) -> None:
    which = feature.WhichOneof("domain_info")
    if which == "int_domain":
        feature.ClearField(which)
    if which not in ("domain", "bool_domain"):
        return
    counts = [bucket.sample_count for bucket in seen.string_stats.rank_histogram.buckets]
    if feature.type == schema_pb2.BYTES and (not counts or min(counts) < _ENOUGH_OF_EACH):
        feature.ClearField(which)
    elif which == "domain":
        feature.distribution_constraints.min_domain_mass = _DOMAIN_MASS


def _counts(feature: statistics_pb2.FeatureNameStatistics) -> tuple[int, int]:
    """Returns how many rows there are, and in how many the feature has no value."""
    which = feature.WhichOneof("stats")
    common = getattr(feature, which).common_stats if which else statistics_pb2.CommonStatistics()
    return int(common.num_non_missing + common.num_missing), int(common.num_missing)


def _name(feature: statistics_pb2.FeatureNameStatistics) -> str:
    return feature.path.step[0] if feature.path.step else ""
