"""Two hundred events as a bucket's notifications would tell them, and the runs that they are to start."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeyard.triggers.domain import Event, EventKind, Policy

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# A day's data is three files, which are written within half an hour.
POLICY = Policy(
    name="taxi-data",
    parameter="source",
    quorum=3,
    quorum_window=timedelta(minutes=30),
    cool_down=timedelta(hours=1),
    daily_cap=12,
)
_BATCHES = 20


@dataclass(frozen=True)
class Told:
    """An event, and when it is told."""

    at: datetime
    event: Event


def new_object(name: str, time: datetime, generation: int, message: str) -> Event:
    uri = f"gs://landing/{name}"
    return Event(
        id=message,
        kind=EventKind.OBJECT,
        subject=f"{uri}#{generation}",
        uri=uri,
        time=time,
        generation=generation,
        attributes={"bucket": "landing", "name": name},
    )


def two_hundred() -> list[Told]:
    """Twenty batches of three files, three hours apart, told 200 times in all.

    All of a batch is told in a burst of a few seconds, in the wrong order. Each file is told by its notification, which
    Pub/Sub repeats minutes and hours later, and by a second subscription, under another id. Each tenth batch also has a
    file that was written twice, the earlier version of which is told last.
    """
    chance = random.Random(5)
    told: list[Told] = []
    for batch in range(_BATCHES):
        begin = BEGIN + batch * timedelta(hours=3)
        burst = begin + 20 * MINUTE
        first = []
        for part in range(3):
            name = f"day={batch:02}/part-{part}.csv"
            event = new_object(name, begin + part * 5 * MINUTE, 1000 * batch + part + 1, f"{batch}-{part}")
            first.append(Told(burst + timedelta(seconds=chance.random()), event))
            other = event.model_copy(update={"id": f"{event.id}-second-subscription"})
            told.append(Told(burst + timedelta(seconds=1 + chance.random()), other))
            told.append(Told(burst + chance.randint(2, 600) * MINUTE, event))
        told += first
        if batch % 10 == 0:
            older = new_object(f"day={batch:02}/part-0.csv", begin - MINUTE, 1000 * batch, f"{batch}-older")
            told.append(Told(burst + 2 * MINUTE, older))
    files = [each for each in told if each.event.id.count("-") == 1 and not each.event.id.endswith("older")]
    while len(told) < 200:
        again = chance.choice(files)
        told.append(Told(again.at + chance.randint(1, 3000) * MINUTE, again.event))
    return sorted(told, key=lambda each: each.at)


def expected_sources() -> list[str]:
    """The parameter of each run that they are to start, in order."""
    return [",".join(f"gs://landing/day={batch:02}/part-{part}.csv" for part in range(3)) for batch in range(_BATCHES)]
