"""CSV files of flights in several sizes."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks import places
from pipeyard.repository import venvs

ALL_FLIGHTS = 336_776
SIZES = {"0.34M": ALL_FLIGHTS, "1M": 1_000_000, "3.4M": 10 * ALL_FLIGHTS, "10M": 10_000_000}
QUICK_SIZES = {"20k": 20_000, "60k": 60_000}
TAXI = places.PROJECT.pipeline("chicago_taxi") / "data" / "data.csv"


def flights(rows: int) -> Path:
    """Returns a CSV file of `rows` flights, missing values empty; made if it isn't there.

    Up to ALL_FLIGHTS these are real ones. More are the same again, as often as it takes, with seeded jitter on
    delays, air time, distance and flight number, so that values don't merely repeat.

    Raises:
        UnavailableError: the environment that makes it can't be made.
    """
    return _made(f"flights-{rows}.csv", "--rows", str(rows))


def arrived_flights(rows: int) -> Path:
    """Returns those of the first `rows` flights that have an arrival delay, for programs that can't filter."""
    return _made(f"flights-arrived-{rows}.csv", "--rows", str(rows), "--arrived")


def wide(columns: int, rows: int) -> Path:
    """Returns a CSV file of sparse numbers and a label; see `programs/make_wide.py`."""
    program, arguments = places.PROGRAMS / "make_wide.py", ["--columns", str(columns), "--rows", str(rows)]
    return _written(f"wide-{columns}-{rows}.csv", [program], arguments)


def count_rows(path: Path) -> int:
    """Returns the rows of a CSV file with a header and no line breaks in values."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 22), b"")) - 1


def _made(name: str, *arguments: str) -> Path:
    if not (places.DATA / name).is_file():
        fetch = places.PROJECT.pipeline("flights")
        places.told([fetch / "fetch-data"], {**places.plain_env(), "UV": venvs.uv(places.PROJECT)})
        _written(name, [places.PROGRAMS / "make_flights.py", fetch / "data" / "flights.csv"], arguments)
    return places.DATA / name


def _written(name: str, program: Sequence[Path], arguments: Sequence[str]) -> Path:
    """Returns a file of `.data`, made by a program that takes it and then the arguments, if it isn't there."""
    target = places.DATA / name
    if not target.is_file():
        places.DATA.mkdir(exist_ok=True)
        places.say(f"making {name}")
        places.told([places.python(places.HERE), *program, target, *arguments])
    return target
