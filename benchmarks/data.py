"""CSV files of flights in several sizes."""

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


def count_rows(path: Path) -> int:
    """Returns the rows of a CSV file with a header and no line breaks in values."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 22), b"")) - 1


def _made(name: str, *arguments: str) -> Path:
    target = places.DATA / name
    if target.is_file():
        return target
    places.DATA.mkdir(exist_ok=True)
    fetch = places.PROJECT.pipeline("flights")
    places.told([fetch / "fetch-data"], {**places.plain_env(), "UV": venvs.uv(places.PROJECT)})
    places.say(f"making {name}")
    program = [places.python(places.HERE), places.PROGRAMS / "make_flights.py"]
    places.told([*program, fetch / "data" / "flights.csv", target, *arguments])
    return target
