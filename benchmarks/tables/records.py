"""What planning a run of many tasks and keeping its record cost, without the tasks' processes."""

import functools
import json

from benchmarks import places, steps
from benchmarks.measuring import STDOUT
from benchmarks.results import TableResult, Verdict, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

TASKS = (1_000, 10_000)
SIDE = "runner"
# Seconds of CPU.
MOST = 10.0
_PROGRAM = places.PROGRAMS / "run_records.py"
_PYTHON = places.PIPEYARD.with_name("python")


def _side(tasks: int) -> Ready:
    prepared = steps.once(
        "run-of-many-tasks", lambda folder: places.told([_PYTHON, _PROGRAM, "make", folder], places.plain_env())
    )

    def facts(each: Round) -> dict[str, float]:
        return json.loads((each.folder / STDOUT).read_text(encoding="utf-8"))

    return Ready(lambda each: [str(_PYTHON), str(_PROGRAM), "measure", str(prepared), str(tasks)], facts=facts)


def _name(tasks: int) -> str:
    return f"{tasks:,} tasks"


def _cases(quick: bool) -> list[Case]:
    sizes = (100, 200) if quick else TASKS
    return [Case(_name(tasks), lambda: 0, [Side(SIDE, functools.partial(_side, tasks))]) for tasks in sizes]


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _verdicts(result: TableResult) -> list[Verdict]:
    small, large = (_name(tasks) for tasks in TASKS)
    spent = result.median(large, SIDE, "run_cpu_s")
    written = quotient(result.median(large, SIDE, "written_mb"), result.median(small, SIDE, "written_mb"))
    growth = TASKS[1] / TASKS[0]
    return [
        at_most(f"{large}: at most {MOST:g} s of CPU for planning and records", spent, MOST, _seconds),
        at_most(f"{large} write at most {1.2 * growth:g} times what {small} write", written, 1.2 * growth),
    ]


TABLE = Table(
    name="records",
    title="Runs of many tasks",
    about=(
        "What `pipeyard run` itself does for loops of many iterations, by a launcher that starts no process, in a "
        "folder in memory: planning, cache keys, the step cache, the record and what is printed (run CPU, written); "
        "then what `pipeyard runs show` and the report take. Wall and CPU are of the whole process, imports included."
    ),
    ours="",
    cases=_cases,
    verdicts=_verdicts,
    facts={
        "run_cpu_s": "run CPU, s",
        "written_mb": "written, MB",
        "show_cpu_s": "show CPU, s",
        "report_cpu_s": "report CPU, s",
    },
    drawn="run_cpu_s",
)
