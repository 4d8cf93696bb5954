"""Small statistics artifacts of data_validation, for what triggers compare."""

from pipeyard.triggers import statistics

# Kinds of histograms, as TFDV has them.
QUANTILES, STANDARD = 1, 0


def artifact(folder, **splits):
    """Writes a statistics artifact: split to feature to counts by value, or to buckets of (low, high, count)."""
    found = statistics.message("List")
    for split, features in splits.items():
        dataset = found.datasets.add(name=split.replace("__", "/"), num_examples=100)
        for name, values in features.items():
            feature = dataset.features.add()
            feature.path.step.append(name)
            if isinstance(values, dict):
                for label, count in values.items():
                    feature.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
                continue
            histogram = feature.num_stats.histograms.add(type=QUANTILES)
            for low, high, count in values:
                histogram.buckets.add(low_value=low, high_value=high, sample_count=count)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / statistics.FILE).write_bytes(statistics.record(found.SerializeToString()))
    return str(folder)
