"""The work of one transform step, in process or on Beam."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transform import shards
from transform.preprocessing import Preprocessing
from transform.raw_schema import RawSchema
from transform.shards import Shard
from transform.targets import Targets


@dataclass(frozen=True)
class Job:
    """The work of one step.

    Attributes:
        splits: split to its shards.
        analyzed: shards that preprocessing_fn's analyzers see.
        output_format: `tfrecord` or `parquet`.
        compression: `gzip` or `none`.
        targets: label and weight, as far as they are known.
    """

    preprocessing: Preprocessing
    schema: RawSchema
    splits: Mapping[str, Sequence[Shard]]
    analyzed: Sequence[Shard]
    output_format: str
    compression: str
    targets: Targets

    @property
    def applied(self) -> list[Shard]:
        """Shards that are transformed: all."""
        return [shard for split in self.splits.values() for shard in split]


def plan(
    examples: str,
    preprocessing: Preprocessing,
    schema: RawSchema,
    analyze_splits: Sequence[str],
    output_format: str,
    compression: str,
    targets: Targets,
) -> Job:
    """Plans by the examples' manifest and footers.

    Args:
        examples: output of extract, at a URI that every worker reads.

    Raises:
        StepError: a file, a column or a split is missing, or there is nothing to analyse.
    """
    splits = shards.plan(examples, schema, output_format, compression)
    analyzed = shards.select(splits, analyze_splits, schema)
    return Job(preprocessing, schema, splits, analyzed, output_format, compression, targets)
