"""What an event costs a trigger that remembers many objects."""

import functools
import json

from benchmarks import places, steps
from benchmarks.measuring import STDOUT
from benchmarks.results import TableResult, Verdict, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OBJECTS = (1_000, 10_000, 100_000, 1_000_000)
EVENTS = 300
SIDE = "trigger function"
# Milliseconds.
MOST = 50.0
_PROGRAM = places.PROGRAMS / "trigger_events.py"
_PYTHON = places.PIPEYARD.with_name("python")


def _side(objects: int, events: int) -> Ready:
    prepared = steps.once(
        f"trigger-{objects}-objects",
        lambda folder: places.told([_PYTHON, _PROGRAM, "make", folder, objects], places.plain_env()),
    )

    def facts(each: Round) -> dict[str, float]:
        return json.loads((each.folder / STDOUT).read_text(encoding="utf-8"))

    return Ready(lambda each: [str(_PYTHON), str(_PROGRAM), "measure", str(prepared), str(events)], facts=facts)


def _cases(quick: bool) -> list[Case]:
    sizes, events = (OBJECTS[:2], 30) if quick else (OBJECTS, EVENTS)
    return [
        Case(f"{objects:,} objects", lambda: 0, [Side(SIDE, functools.partial(_side, objects, events))])
        for objects in sizes
    ]


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms"


def _verdicts(result: TableResult) -> list[Verdict]:
    large, small = (f"{objects:,} objects" for objects in (OBJECTS[-1], OBJECTS[0]))
    most = result.median(large, SIDE, "most_ms")
    growth = quotient(result.median(large, SIDE, "median_ms"), result.median(small, SIDE, "median_ms"))
    return [
        at_most(f"{large} in eight days: every event under {MOST:g} ms of CPU", most, MOST, _milliseconds),
        at_most(f"an event with {large} takes at most twice the CPU of one with {small}", growth, 2.0),
    ]


TABLE = Table(
    name="triggers",
    title="Triggers",
    about=(
        f"CPU time of one event of an `event` trigger that remembers objects of the last eight days: {EVENTS} new "
        f"objects, each of which starts a run, and the same {EVENTS} told again, by the Cloud Function's own code, "
        "state in a local folder. Wall and CPU are of the whole process, with what it tells to fill the state first."
    ),
    ours="",
    cases=_cases,
    verdicts=_verdicts,
    facts={"median_ms": "median, ms", "p99_ms": "99th percentile, ms", "most_ms": "most, ms"},
    drawn="most_ms",
)
