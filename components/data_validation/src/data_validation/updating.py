"""What a schema would have to say for data to fit it.

What was decided by hand stays: only what the data contradicts changes, as TFDV's own `update_schema` has it. A column
that the schema lacks is added as inference gives it, one that the data lacks is taken out.
"""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format
from tensorflow_data_validation.api.validation_api import update_schema
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from data_validation import inferring
from stepkit import schemas

_ADDED, _CHANGED, _REMOVED = "added", "changed", "removed"


def updated(
    schema: schema_pb2.Schema, splits: Mapping[str, statistics_pb2.DatasetFeatureStatistics]
) -> schema_pb2.Schema:
    """Returns the schema that all splits fit.

    Args:
        splits: statistics by name; the first split, or `train`, is what new columns are inferred from.
    """
    known = {feature.name for feature in schema.feature}
    found = schema
    for dataset in splits.values():
        every = statistics_pb2.DatasetFeatureStatisticsList()
        every.datasets.add().CopyFrom(_only(dataset, known))
        found = update_schema(found, every)
    there = {_column(feature) for dataset in splits.values() for feature in dataset.features}
    gone = {feature.name for feature in schemas.in_use(schema)} - there
    names = list(splits)
    first = "train" if "train" in splits else names[0]
    others = [splits[name] for name in names if name != first]
    inferred = inferring.infer(splits[first], others)
    added = [feature for feature in inferred.feature if feature.name not in known]
    result = schema_pb2.Schema()
    result.CopyFrom(found)
    del result.feature[:]
    result.feature.extend([feature for feature in found.feature if feature.name in known - gone])
    result.feature.extend(added)
    used = {feature.domain for feature in result.feature if feature.domain}
    taken = {domain.name for domain in found.string_domain}
    more = [each for each in inferred.string_domain if each.name not in taken]
    dropped = {feature.domain for feature in schema.feature if feature.name in gone}
    kept = [each for each in found.string_domain if each.name in used or each.name not in dropped]
    del result.string_domain[:]
    result.string_domain.extend([*kept, *(each for each in more if each.name in used)])
    return result


def changes(before: schema_pb2.Schema, after: schema_pb2.Schema) -> list[dict[str, Any]]:
    """Returns what differs, a column at a time: its name, what happened to it, and fields as they were and are."""
    ours, theirs = ({feature.name: feature for feature in each.feature} for each in (before, after))
    found = [_change(name, _ADDED, {}, _fields(theirs[name], after)) for name in theirs if name not in ours]
    found += [_change(name, _REMOVED, _fields(ours[name], before), {}) for name in ours if name not in theirs]
    for name in ours:
        if name in theirs and (was := _fields(ours[name], before)) != (now := _fields(theirs[name], after)):
            found.append(_change(name, _CHANGED, was, now))
    return found


def _change(name: str, what: str, was: Mapping[str, str], now: Mapping[str, str]) -> dict[str, Any]:
    fields = [
        {"field": field, "schema": was.get(field, ""), "data": now.get(field, "")}
        for field in dict.fromkeys([*was, *now])
        if was.get(field) != now.get(field)
    ]
    return {"column": name, "change": what, "fields": fields}


def _fields(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> dict[str, str]:
    """Returns the fields of a feature as text, its domain's values among them."""
    found = {}
    for descriptor, value in feature.ListFields():
        if descriptor.name == "name":
            continue
        if descriptor.name == "type":
            found["type"] = schema_pb2.FeatureType.Name(value)
        elif descriptor.message_type and descriptor.label != descriptor.LABEL_REPEATED:
            found[descriptor.name] = text_format.MessageToString(value, as_one_line=True, as_utf8=True)
        else:
            found[descriptor.name] = json.dumps(str(value) if descriptor.message_type else _plain(value))
    values = [value for domain in schema.string_domain if domain.name == feature.domain for value in domain.value]
    if feature.domain:
        found["values"] = json.dumps(values, ensure_ascii=False)
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else [str(each) for each in value]


def _only(dataset: statistics_pb2.DatasetFeatureStatistics, names: set[str]) -> statistics_pb2.DatasetFeatureStatistics:
    kept = statistics_pb2.DatasetFeatureStatistics()
    kept.CopyFrom(dataset)
    del kept.features[:]
    kept.features.extend([feature for feature in dataset.features if _column(feature) in names])
    return kept


def _column(feature: statistics_pb2.FeatureNameStatistics) -> str:
    return feature.path.step[0] if feature.path.step else ""
