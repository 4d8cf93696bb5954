"""A split, decoded and checked once, and kept as Arrow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import tensorflow as tf

from stepkit.progress import bar
from trainkit import reading
from trainkit.cache import Cache
from trainkit.labels import WEIGHTS, Encoder, Target
from trainkit.schema import FeatureSpec

# Most bytes of a split's decoded examples that stay in memory.
MEMORY_BUDGET_BYTES = 1 << 30


@dataclass(frozen=True)
class Decoded:
    """A split's rows.

    Attributes:
        spec: of the columns that `cache` has: features, the label as a model gets it, and WEIGHTS if rows don't count
            alike.
        seen: indices of the label's classes that the split has.
    """

    cache: Cache
    spec: FeatureSpec
    seen: frozenset[int]


def decode(
    split: reading.Split,
    spec: FeatureSpec,
    features: FeatureSpec,
    target: Target,
    budget: int,
    check: Callable[[Path, pa.RecordBatch], None] = lambda file, block: None,
) -> Decoded:
    """Decodes and checks a split.

    Args:
        spec: parsing spec of what is read: features, label, weight.
        features: what of it is kept beside the label.
        budget: most bytes of decoded examples to keep in memory; above it, they go to a temporary file.
        check: is given each block with its file, before it is kept.

    Raises:
        StepError: a file is corrupt, doesn't fit the spec or has another number of rows than the manifest says, or the
            label or the weights are useless (see `trainkit.labels`); or what `check` raises.
    """
    kept = {**features, target.label: target.encoded(spec[target.label])}
    if target.weighted:
        kept[WEIGHTS] = tf.io.FixedLenFeature([], tf.float32)
    schema = reading.arrow_schema(kept)
    cache = Cache(schema, budget)
    encoder = Encoder(target, split.name)
    with bar(f"Reading {split.name}", split.rows) as advance:
        for file, block in reading.read(split, spec):
            check(file, block)
            cache.add(encoder.encode(str(file), block, schema))
            advance(block.num_rows)
    encoder.finish()
    cache.finish()
    return Decoded(cache, kept, frozenset(encoder.seen))
