"""Whether exported trees take every flight to the leaf that XGBoost takes it to. Runs in train_trees' environment.

Trees are grown on columns of the CSV file as they are: missing values stay missing, texts are numbered. All rows are
asked, of whatever split. Prints, by objective:

    rows            that were asked
    other_leaves    leaves of rows that aren't those of XGBoost's pred_leaf
    error           largest difference of the answers: of probabilities as it is, of regressions in relation to
                    XGBoost's answer
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import tensorflow as tf
import xgboost
from train_trees import columns, exported
from train_trees.columns import Column
from train_trees.objectives import OF_TASK, SIGMOID, SOFTMAX
from train_trees.parameters import Recipe

from stepkit import tasks
from trainkit.labels import Target

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

_NUMBERS = ["month", "day", "hour", "minute", "dep_delay", "distance", "sched_arr_time", "air_time"]
_TEXTS = ["carrier", "dest", "origin", "tailnum"]
_COLUMNS = (*(Column(name, categorical=True) for name in _TEXTS), *map(Column, _NUMBERS))
_CLASSES = {tasks.MULTICLASS: ("early", "on time", "late", "very late"), tasks.MULTILABEL: ("late", "far", "evening")}
_PIECE_ROWS = 1 << 14


def read(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns the columns, float32 [rows, columns], and what flights are like, by column."""
    options = pv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    flights = pv.read_csv(path, convert_options=options)
    parts = []
    for each in _COLUMNS:
        column = flights[each.name].combine_chunks()
        if each.categorical:
            column = pc.fill_null(column, "").dictionary_encode().indices
        parts.append(column.cast(pa.float32()).to_numpy(zero_copy_only=False))
    known = {name: pc.fill_null(flights[name], 0).to_numpy() for name in ("arr_delay", "distance", "hour")}
    return np.stack(parts, 1), known


def label_of(task: str, known: dict[str, np.ndarray]) -> np.ndarray:
    """Returns a label of each row that suits a task; of counts and durations, a positive one."""
    delay = known["arr_delay"]
    return {
        tasks.BINARY: delay > 15,
        tasks.MULTICLASS: np.digitize(delay, [-15, 0, 15]),
        tasks.MULTILABEL: np.stack([delay > 15, known["distance"] > 1000, known["hour"] > 17], 1),
        tasks.REGRESSION: np.maximum(delay + 100, 1),
    }[task].astype(np.float32)


def compare(task: str, name: str, values: np.ndarray, label: np.ndarray, rounds: int) -> dict[str, float]:
    """Grows trees, and asks both of all rows. The last tenth of the trees is left out, as after early stopping."""
    target = Target("label", task, _CLASSES.get(task, ()))
    objective = next(each for each in OF_TASK[task] if each.name == name)
    recipe = Recipe({"eta": 0.1, "max_depth": 6}, objective, _COLUMNS)
    types = columns.feature_types(_COLUMNS)
    data = xgboost.QuantileDMatrix(values, label, feature_types=types, enable_categorical=True)
    booster = xgboost.train(recipe.for_xgboost(target, 1), data, rounds)
    taken = rounds - rounds // 10
    walk = exported.of_booster(booster, taken, recipe, target.outputs).walk
    leaves, answer = tf.function(walk.local_leaves), tf.function(walk.answer)
    other, error = 0, 0.0
    for start in range(0, len(values), _PIECE_ROWS):
        piece = values[start : start + _PIECE_ROWS]
        matrix = xgboost.DMatrix(piece, feature_types=types, enable_categorical=True)
        asked = {"iteration_range": (0, taken)}
        expected = booster.predict(matrix, pred_leaf=True, **asked).reshape(len(piece), -1)
        other += int((leaves(piece).numpy() != expected).sum())
        answers = booster.predict(matrix, **asked).reshape(len(piece), -1)
        apart = np.abs(answer(piece).numpy().astype(np.float64) - answers)
        error = max(
            error, float((apart if objective.activation in (SIGMOID, SOFTMAX) else apart / np.abs(answers)).max())
        )
    return {"rows": len(values), "other_leaves": other, "error": error}


def main() -> None:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flights", type=Path)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--objective", action="append", help="default: all")
    args = parser.parse_args()
    values, known = read(args.flights)
    print(
        json.dumps(
            {
                each.name: compare(task, each.name, values, label_of(task, known), args.rounds)
                for task, several in OF_TASK.items()
                for each in dict.fromkeys(several)
                if not args.objective or each.name in args.objective
            }
        )
    )


if __name__ == "__main__":
    main()
