"""Rows a second of scoring the flights model, by who asks it. Runs in batch_predict's environment.

Prints {"rows_per_s": ...} from the first batch to the last row; neither imports nor loading the model are in it.

    step      batch_predict's own loop: reads Parquet, asks, applies the operating point, writes Parquet
    prepared  the SavedModel's signature on tensors that were made beforehand, one call after the other
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import tensorflow as tf
from batch_predict import in_process, planning, scoring

from stepkit.served import RAW_SIGNATURE

# Prepared batches, which are asked again and again: as tensors, all rows may not fit into memory.
_MOST_BATCHES = 40
# That are asked for of those: the rate is the same after.
_MOST_ROWS = 1_000_000


def main() -> None:
    """Scores and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--batch-rows", type=int, required=True)
    parser.add_argument("--feed", choices=("step", "prepared"), required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    description = planning.describe(args.model)
    answers = planning.answers_of(args.model, description, {})
    plan = planning.plan(args.examples, [], description, answers, [], "", args.batch_rows)
    scorer = scoring.Scorer(args.model, plan)
    if args.feed == "step":
        began = time.perf_counter()
        in_process.run(plan, scorer, args.out, None, lambda rows: None)
        rows = plan.rows
    else:
        signature = tf.saved_model.load(str(args.model)).signatures[RAW_SIGNATURE]
        read = itertools.chain.from_iterable(map(scorer.read, plan.shards))
        batches = [
            {name: tf.constant(values) for name, values in scorer.arguments(batch).items()}
            for batch in itertools.islice(read, _MOST_BATCHES)
        ]
        signature(**batches[0])
        began, rows = time.perf_counter(), 0
        for batch in itertools.cycle(batches):
            rows += len(signature(**batch)[description.answer].numpy())
            if rows >= min(plan.rows, _MOST_ROWS):
                break
    print(json.dumps({"rows_per_s": rows / (time.perf_counter() - began)}))


main()
