"""Sampled requests with their answers, as Parquet.

A row a row of a request. Raw columns are called and typed as in the data; what is added begins with an underscore:
`_time` (UTC), `_request_id`, `_row` (within the request), `_model`, `_version`, and of the answer `_class` and a number
a column, `_score_NAME`.

Which requests are logged is decided by their id alone, so two versions that get the same request both log it, or
neither. A file appears whole, under a name that sorts by time.
"""

import contextlib
import math
import os
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from model_server.columns import Values, as_text
from stepkit.answers import Answers
from stepkit.errors import UsageError, near_misses
from stepkit.raw_columns import Column

# A file is written when either is reached, and when the server ends.
FLUSH_ROWS = 10_000
FLUSH_BYTES = 4 * 1024 * 1024
# More than that is dropped, and counted: logs must not take the memory that answers need.
MOST_ROWS = 100_000
MOST_BYTES = 32 * 1024 * 1024  # of bodies; what is made of them takes several times as much
_LEAST_SECONDS = 0.05
_NAME = re.compile(r"(?P<model>.+)-v(?P<version>\d+)-(?P<time>\d{8}T\d{6})\d{6}Z\.parquet")
_TIME = "%Y%m%dT%H%M%S%fZ"
_HASHES = 2**32


@dataclass(frozen=True)
class Sampling:
    """What is logged.

    Attributes:
        folder: of the files.
        rate: share of requests, 0 to 1.
        without: raw columns that are left out.
        days: files are removed after so many.
        seconds: a file is written at least so often, if there is something to write.
        most_bytes: of a model's files; beyond it the oldest are removed.
    """

    folder: Path
    rate: float = 1.0
    without: tuple[str, ...] = ()
    days: float = 30.0
    seconds: float = 30.0
    most_bytes: int = 10**9


@dataclass(frozen=True)
class Entry:
    """A request with its answer."""

    time: datetime
    request_id: str
    values: Mapping[str, Values]
    numbers: np.ndarray


class RequestLog:
    """Takes entries without waiting, and writes them in a thread of its own.

    Args:
        model: name and version.
        say: called with what goes wrong.

    Attributes:
        dropped: rows of the sample that weren't and won't be written.
    """

    def __init__(
        self,
        sampling: Sampling,
        model: tuple[str, str],
        columns: Sequence[Column],
        answers: Answers,
        say: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        check_columns(sampling.without, columns)
        self._sampling = sampling
        self._model = model
        self._columns = [column for column in columns if column.name not in sampling.without]
        self._answers = answers
        self._say = say
        self._clock = clock
        self._threshold = math.ceil(sampling.rate * _HASHES)
        self._entries: list[Entry] = []
        self._rows = self._bytes = 0
        self.dropped = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        sampling.folder.mkdir(parents=True, exist_ok=True)
        for left in sampling.folder.glob(f".{model[0]}-v{model[1]}-*.partial"):  # by a process that was killed
            left.unlink(missing_ok=True)
        self._thread = threading.Thread(target=self._write_until_closed, name="request-log", daemon=True)
        self._thread.start()

    def wants(self, request_id: str) -> bool:
        """True if the request of this id is one of the sample."""
        return zlib.crc32(request_id.encode()) < self._threshold

    def add(self, request_id: str, values: Mapping[str, Values], numbers: np.ndarray, size: int = 0) -> None:
        """Takes a request and the model's numbers, [rows, width], or drops it.

        Args:
            size: bytes of the request's body.
        """
        rows = len(numbers)
        with self._lock:
            if self._rows + rows > MOST_ROWS or self._bytes + size > MOST_BYTES:
                self.dropped += rows
                return
            self._entries.append(Entry(self._clock(), request_id, values, numbers))
            self._rows += rows
            self._bytes += size
            full = self._rows >= FLUSH_ROWS or self._bytes >= FLUSH_BYTES
        if full:
            self._wake.set()

    def close(self) -> None:
        """Writes what there is, and ends."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _write_until_closed(self) -> None:
        while True:
            self._wake.wait(max(self._sampling.seconds, _LEAST_SECONDS))
            self._wake.clear()
            closed = self._closed  # before the entries are taken: none comes after that
            with self._lock:
                entries, self._entries, self._rows, self._bytes = self._entries, [], 0, 0
            try:
                if entries:
                    self._write(entries)
                self._remove_old()
            except Exception as error:  # pylint: disable=broad-exception-caught  # later rows may be written
                rows = sum(len(entry.numbers) for entry in entries)
                with self._lock:
                    self.dropped += rows
                self._say(f"{rows} rows weren't logged: {error}")
            if closed:
                return

    def _write(self, entries: Sequence[Entry]) -> None:
        import pyarrow.parquet as pq

        table = to_table(entries, self._model, self._columns, self._answers)
        name = f"{self._model[0]}-v{self._model[1]}-{self._clock().strftime(_TIME)}.parquet"
        aside = self._sampling.folder / f".{name}.partial"
        try:
            pq.write_table(table, aside)
            aside.replace(self._sampling.folder / name)
        finally:
            aside.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        oldest = (self._clock() - timedelta(days=self._sampling.days)).strftime(_TIME)
        with os.scandir(self._sampling.folder) as entries:
            sizes = {}
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another version removed it meanwhile
                    sizes[Path(entry.path)] = entry.stat().st_size
        for path in outdated(sizes, self._model[0], oldest, self._sampling.most_bytes):
            path.unlink(missing_ok=True)


def check_columns(without: Iterable[str], columns: Iterable[Column]) -> None:
    """Raises UsageError, with near misses, if one that is to be left out isn't there."""
    known = [column.name for column in columns]
    for name in without:
        if name not in known:
            raise UsageError(f"--log-without {name!r} is no column of the model. {near_misses(name, known)}")


def outdated(sizes: Mapping[Path, int], model: str, oldest: str, most_bytes: int) -> list[Path]:
    """Returns the files of a model's versions that have to go, and no others.

    Args:
        sizes: file to its bytes.
        oldest: those before this time go, as their names have it; and
        most_bytes: of the others the oldest, until what is left has no more than that.
    """
    matches = ((_NAME.fullmatch(path.name), path) for path in sizes)
    own = sorted((match["time"], path) for match, path in matches if match and match["model"] == model)
    found, left = [], sum(sizes[path] for _, path in own)
    for time, path in own:
        if time >= oldest[:15] and left <= most_bytes:
            break
        found.append(path)
        left -= sizes[path]
    return found


def _stored(value: Any, kind: str) -> Any:
    """Returns what Arrow takes of a request's value: it refuses whole numbers beyond 2^53 as floats."""
    if isinstance(value, list):
        return [_stored(each, kind) for each in value]
    if kind == "BYTES":
        return as_text(value)
    return float(value) if kind == "FLOAT" and isinstance(value, int) else value


def to_table(entries: Sequence[Entry], model: tuple[str, str], columns: Sequence[Column], answers: Answers) -> Any:
    """Returns a `pyarrow.Table`, a row a row of the requests."""
    import pyarrow as pa

    kinds = {"FLOAT": pa.float64(), "INT": pa.int64(), "BYTES": pa.string()}
    counts = [len(entry.numbers) for entry in entries]
    rows = sum(counts)
    data: dict[str, Any] = {}
    for column in columns:
        values = [
            value
            for entry, count in zip(entries, counts, strict=True)
            for value in entry.values.get(column.name, [None] * count)
        ]
        kind = kinds[column.kind]
        if not column.is_single:
            values = [value if value is None or isinstance(value, list) else [value] for value in values]
            kind = pa.list_(kind)
        data[column.name] = pa.array([_stored(value, column.kind) for value in values], kind)

    def each(of: Callable[[Entry], Any]) -> list[Any]:
        return [of(entry) for entry, count in zip(entries, counts, strict=True) for _ in range(count)]

    numbers = np.concatenate([entry.numbers for entry in entries]).astype(np.float64)
    data["_time"] = pa.array(each(lambda entry: entry.time), pa.timestamp("us", "UTC"))
    data["_request_id"] = pa.array(each(lambda entry: entry.request_id), pa.string())
    data["_row"] = pa.array([row for count in counts for row in range(count)], pa.int32())
    data["_model"] = pa.array([model[0]] * rows, pa.string())
    data["_version"] = pa.array([int(model[1])] * rows, pa.int64())
    for number, name in enumerate(answers.names):
        data[f"_score_{name}"] = pa.array(numbers[:, number])
    predictions = answers.predictions(numbers)
    if "class" in predictions[0]:
        data["_class"] = pa.array([str(each["class"]) for each in predictions], pa.string())
    return pa.table(data)
