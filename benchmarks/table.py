"""What a table is made of, and how it is measured: sides in turn, round after round."""

import datetime
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import machine, places
from benchmarks.measuring import STDERR, STDOUT, FailedError, measure
from benchmarks.results import CaseResult, SideResult, TableResult, Verdict


@dataclass(frozen=True)
class Round:
    """Where one repetition of a side happens.

    Attributes:
        folder: empty; removed afterwards.
        shared: one for all sides and rounds of the case; removed when the case is done.
        number: 0, 1, ...
    """

    folder: Path
    shared: Path
    number: int


@dataclass(frozen=True)
class Ready:
    """A side that can be measured.

    Attributes:
        command: returns the command line of a round. What it does itself isn't measured.
        env: environment variables of the command.
        versions: of the libraries that matter.
        facts: returns what else to keep of a round, numbers that it reads from the outputs. Isn't measured.
    """

    command: Callable[[Round], Sequence[str]]
    env: Mapping[str, str] = field(default_factory=places.plain_env)
    versions: Mapping[str, str] = field(default_factory=dict)
    facts: Callable[[Round], dict[str, float]] = lambda each: {}


@dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Attributes:
        prepare: makes environments and inputs; raises UnavailableError where that can't be done.
        note: what a reader must know to judge the comparison.
    """

    name: str
    prepare: Callable[[], Ready]
    note: str = ""


@dataclass(frozen=True)
class Case:
    """The same work for several sides.

    Attributes:
        rows: returns how many rows the work has; 0 where it isn't about rows.
    """

    name: str
    rows: Callable[[], int]
    sides: Sequence[Side]


@dataclass(frozen=True)
class Table:
    """A comparison.

    Attributes:
        name: of the command and the files.
        about: what is compared and how, Markdown.
        ours: the side that others are put in relation to.
        cases: returns the cases; the argument asks for small ones that only show that everything works.
        verdicts: judges the results by the goals.
        facts: what sides measure beyond MEASURES, by name, to the column's title.
        chart: `bars`, one a side and case, or `lines` over rows.
        drawn: the measure or fact that is drawn.
    """

    name: str
    title: str
    about: str
    ours: str
    cases: Callable[[bool], Sequence[Case]]
    verdicts: Callable[[TableResult], list[Verdict]] = lambda result: []
    facts: Mapping[str, str] = field(default_factory=dict)
    chart: str = "bars"
    drawn: str = "wall_s"


def run_case(case: Case, sides: Sequence[str], repeat: int) -> CaseResult:
    """Measures a case.

    Args:
        sides: names of those to measure; empty: all.
    """
    chosen = [side for side in case.sides if not sides or side.name in sides]
    ready, missing = {}, {}
    for side in chosen:
        try:
            ready[side.name] = side.prepare()
        except places.UnavailableError as error:
            missing[side.name] = str(error).replace(str(places.ROOT), ".")
            places.say(f"{case.name}: {side.name} can't be measured: {error}")
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ready}
    scratch = places.DATA / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as shared:
        for number in range(repeat):
            for name in list(rounds):
                folder = Path(tempfile.mkdtemp(dir=scratch))
                try:
                    rounds[name].append(_round(ready[name], Round(folder, Path(shared), number)))
                    last = rounds[name][-1]
                    places.say(
                        f"{case.name}, round {number + 1} of {repeat}: {name}: {last['wall_s']:.1f} s, "
                        f"CPU {last['cpu_s']:.1f} s, {last['pss_mb']:,.0f} MB"
                    )
                except (FailedError, places.UnavailableError) as error:
                    missing[name] = f"failed: {error}".replace(str(places.ROOT), ".")
                    del rounds[name]
                    kept = places.DATA / "failed" / name.replace("/", " ")
                    shutil.rmtree(kept, ignore_errors=True)
                    shutil.copytree(folder, kept, ignore=lambda _, names: {*names} - {STDOUT, STDERR})
                    places.say(f"{case.name}, round {number + 1}: {name} failed: {error}\nWhat it printed is in {kept}")
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
    return CaseResult(
        case.name,
        case.rows(),
        [
            SideResult(
                side.name,
                rounds.get(side.name, []),
                dict(ready[side.name].versions) if side.name in rounds else {},
                side.note,
                missing.get(side.name, ""),
            )
            for side in chosen
        ],
        repeat,
        datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine.commit(places.ROOT),
        machine.describe(),
    )


def _round(side: Ready, each: Round) -> dict[str, float]:
    measured = measure(side.command(each), folder=each.folder, env=side.env)
    return asdict(measured) | side.facts(each)
