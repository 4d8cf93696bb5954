"""Scores in this process, without Beam."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from batch_predict import writing
from batch_predict.planning import Plan, Shard
from batch_predict.scoring import Scorer
from stepkit import threads


def run(plan: Plan, scorer: Scorer, folder: Path, file: Path | None, advance: Callable[[int], None]) -> None:
    """Scores all shards, a few batches at a time.

    Args:
        folder: gets each shard's target, where there is no `file`.
        file: gets all rows.
        advance: called with the number of rows of each batch that is scored.

    Raises:
        StepError: the examples or the disk.
    """
    with threads.ordered_map() as mapped:

        def scored(shard: Shard) -> Iterator[pa.RecordBatch]:
            for batch in mapped(scorer.score, scorer.read(shard)):
                advance(batch.num_rows)
                yield batch

        if file:
            writing.write(file, plan.schema, (batch for shard in plan.shards for batch in scored(shard)))
            return
        for shard in plan.shards:
            writing.write(folder / shard.target, plan.schema, scored(shard))
