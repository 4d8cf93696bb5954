"""train's input pipeline against the same model fed from memory."""

import functools
import json

from benchmarks import data, places, steps
from benchmarks.measuring import STDOUT
from benchmarks.results import TableResult, Verdict, at_least, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OURS = "train's input pipeline"
DISK = "the same, split larger than memory's share"
TENSORS = "tensors in memory, batched beforehand"
ARRAYS = "Keras's fit on arrays"
_GOAL = 0.8


def _side(rows: int, feed: str, epochs: int) -> Ready:
    prepared = steps.Prepared(data.flights(rows), steps.SPLIT)
    interpreter = places.python(places.component("train"))
    given = {
        "transformed-examples": prepared.transformed,
        "transform-graph": prepared.graph,
        "module": steps.PARAMETERS["train"]["module"],
        "label-key": steps.LABEL,
        "batch-size": steps.BATCH_ROWS,
        "epochs": epochs,
        "feed": feed,
    }
    command = [str(interpreter), str(places.PROGRAMS / "train_input.py")]
    command += [f"--{name}={value}" for name, value in given.items()]

    def facts(each: Round) -> dict[str, float]:
        return json.loads((each.folder / STDOUT).read_text(encoding="utf-8").splitlines()[-1])

    versions = places.versions(interpreter, ["tensorflow-cpu", "keras"])
    return Ready(lambda each: command, places.component_env("train"), versions, facts)


def _cases(quick: bool) -> list[Case]:
    rows, epochs = (20_000, 2) if quick else (data.ALL_FLIGHTS, 4)
    notes = {
        (OURS, "memory"): "Shuffles every epoch.",
        (DISK, "disk"): "Budget of 0 bytes: all is read from the temporary file.",
        (TENSORS, "tensors"): "No shuffling, no gathering: the least that feeding can cost.",
        (ARRAYS, "arrays"): "Shuffles every epoch.",
    }
    sides = [Side(name, functools.partial(_side, rows, feed, epochs), note) for (name, feed), note in notes.items()]
    return [Case("20k rows" if quick else "0.34M rows", lambda: rows, sides)]


def _verdicts(result: TableResult) -> list[Verdict]:
    case = "0.34M rows"
    ours, disk, memory = (result.median(case, side, "steps_per_s") for side in (OURS, DISK, TENSORS))
    return [
        at_least(
            f"{case}: at least 0.8 of the steps/s from memory",
            quotient(ours, memory),
            _GOAL,
            lambda value: f"{value:.2f}",
        ),
        at_least(
            f"{case}, split larger than memory's share: the same",
            quotient(disk, memory),
            _GOAL,
            lambda value: f"{value:.2f}",
        ),
    ]


TABLE = Table(
    name="train_input",
    title="Training input",
    about=(
        f"Steps a second of fitting the flights model with batches of {steps.BATCH_ROWS}, over all epochs but the "
        "first, in which TensorFlow traces. Wall, CPU and memory are of the whole process with reading and checking "
        "the examples."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
    facts={"steps_per_s": "steps/s"},
    drawn="steps_per_s",
)
