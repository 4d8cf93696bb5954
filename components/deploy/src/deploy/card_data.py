"""What the card says of data: splits by the manifest of the examples, columns by data_validation's statistics."""

import math
from pathlib import Path
from typing import Any

from stepkit import digest, examples


def datasets(folder: Path) -> list[dict[str, Any]]:
    """Returns the splits, as items of the schema's `data`, with the digest of what each consists of."""
    found = []
    for name, split in examples.read_manifest(folder)["splits"].items():
        digests = [file["sha256"] for file in split["files"] if "sha256" in file]
        item: dict[str, Any] = {"name": name}
        if "rows" in split:
            item["description"] = f"{split['rows']:,} rows"
        if digests:
            item["sha256"] = digests
        found.append(item)
    return found


def statistics(path: Path) -> dict[str, Any]:
    """Returns what the statistics say of each column of the split that a model learns from.

    Returns:
        `split`, `rows` and `columns`; or a `problem`, in words, of statistics that are none: what a card says is no
        reason not to deploy.
    """
    import tensorflow as tf  # pylint: disable=import-outside-toplevel
    from google.protobuf.message import DecodeError  # pylint: disable=import-outside-toplevel
    from tensorflow_metadata.proto.v0 import statistics_pb2  # pylint: disable=import-outside-toplevel

    try:
        (record,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        by_split = {each.name: each for each in statistics_pb2.DatasetFeatureStatisticsList.FromString(record).datasets}
    except (tf.errors.OpError, DecodeError, ValueError):
        return {"problem": "the statistics can't be read"}
    if not by_split:
        return {"problem": "the statistics are of no split"}
    split = examples.training_split(by_split)
    return {
        "split": split,
        "rows": int(by_split[split].num_examples),
        "sha256": digest.of_file(path),
        "columns": [_column(feature) for feature in by_split[split].features],
    }


def _column(feature: Any) -> dict[str, Any]:
    kind = feature.WhichOneof("stats") or ""
    found: dict[str, Any] = {"name": feature.name or ".".join(feature.path.step)}
    if not kind:
        return found
    values = getattr(feature, kind)
    missing, present = values.common_stats.num_missing, values.common_stats.num_non_missing
    found["type"] = type(feature).Type.Name(feature.type)
    if missing + present:
        found["missing"] = missing / (missing + present)
    if kind == "num_stats" and present:
        numbers = {"mean": values.mean, "std_dev": values.std_dev, "min": values.min, "max": values.max}
        found |= {name: number for name, number in numbers.items() if math.isfinite(number)}
    if kind == "string_stats":
        found["distinct"] = int(values.unique)
    return found
