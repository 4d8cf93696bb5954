"""Sampled requests with their answers become Parquet files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import CLASSES, COLUMNS
from model_server import request_log
from model_server.request_log import RequestLog, Sampling

from stepkit import tasks
from stepkit.answers import Answers
from stepkit.errors import UsageError

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ANSWERS = Answers(tasks.BINARY, "probabilities", CLASSES, 0.3)
VALUES = {"miles": [1, 2.5], "area": [None, 3.0], "Company Name": ["a", None], "tags.all": [["x", "y"], "z"]}
NUMBERS = np.array([[0.25], [0.75]], np.float32)


def log(folder: Path, said: list[str] | None = None, answers: Answers = ANSWERS, **options: Any) -> RequestLog:
    say = [].append if said is None else said.append
    return RequestLog(Sampling(folder, **options), ("taxi", "7"), COLUMNS, answers, say, lambda: NOW)


def test_a_row_a_row_with_raw_columns_and_the_answer(tmp_path: Path) -> None:
    found = log(tmp_path, without=("Company Name",))
    found.add("first", VALUES, NUMBERS)
    found.add("second", {"miles": [4]}, NUMBERS[:1])
    found.close()
    assert found.dropped == 0
    (path,) = tmp_path.iterdir()
    assert path.name == "taxi-v7-20261130T120000000000Z.parquet"
    assert pq.read_table(path).to_pylist() == [
        {
            "miles": miles, "area": area, "tags.all": tags, "_time": NOW, "_request_id": request, "_row": row,
            "_model": "taxi", "_version": 7, "_score_probabilities": score, "_class": name,
        }
        for miles, area, tags, request, row, score, name in [
            (1, None, ["x", "y"], "first", 0, 0.25, "no tip"),
            (2.5, 3, ["z"], "first", 1, 0.75, "tip"),
            (4, None, None, "second", 0, 0.25, "no tip"),
        ]
    ]  # fmt: skip


def test_booleans_of_text_columns_are_text(tmp_path: Path) -> None:
    found = log(tmp_path)
    found.add("first", {"miles": [1], "Company Name": [True], "tags.all": [[False]]}, NUMBERS[:1])
    found.close()
    (row,) = pq.read_table(tmp_path).to_pylist()
    assert (row["Company Name"], row["tags.all"]) == ("true", ["false"])


def test_scores_a_class(tmp_path: Path) -> None:
    found = log(tmp_path, answers=Answers(tasks.MULTICLASS, "scores", ("a", "b")))
    found.add("first", {"miles": [1]}, np.array([[0.25, 0.75]]))
    found.close()
    (row,) = pq.read_table(tmp_path).to_pylist()
    assert (row["_score_a"], row["_score_b"], row["_class"]) == (0.25, 0.75, "b")


def test_the_sample_depends_on_the_request_s_id_alone(tmp_path: Path) -> None:
    one, other = log(tmp_path / "1", rate=0.25), log(tmp_path / "2", rate=0.25)
    ids = [f"request-{number}" for number in range(4000)]
    assert [one.wants(each) for each in ids] == [other.wants(each) for each in ids]
    assert 0.2 < sum(map(one.wants, ids)) / len(ids) < 0.3
    assert all(map(log(tmp_path / "3", rate=1.0).wants, ids))
    assert not any(map(log(tmp_path / "4", rate=0.0).wants, ids))


def test_old_files_of_the_model_go_and_no_others(tmp_path: Path) -> None:
    kept = ["taxi-v7-20261129T115959000000Z.parquet", "other-v7-20250101T000000000000Z.parquet", "mine.parquet"]
    gone = ["taxi-v7-20261128T115959000000Z.parquet", "taxi-v3-20250101T000000000000Z.parquet"]
    for name in (*kept, *gone):
        (tmp_path / name).touch()
    log(tmp_path, days=2).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


@pytest.mark.parametrize(("limit", "size"), [("MOST_ROWS", 0), ("MOST_BYTES", 2)])
def test_rows_that_arent_written_in_time_are_dropped_and_counted(tmp_path: Path, monkeypatch: Any, limit, size) -> None:
    monkeypatch.setattr(request_log, limit, 3)
    found = log(tmp_path)
    for request in ("first", "second"):
        found.add(request, VALUES, NUMBERS, size)
    assert found.dropped == 2
    found.close()
    assert pq.read_table(tmp_path).num_rows == 2


def test_what_cant_be_written_stops_nothing_is_counted_and_leaves_no_part(tmp_path: Path, monkeypatch: Any) -> None:
    said: list[str] = []
    (tmp_path / ".taxi-v7-20261129T115959000000Z.parquet.partial").touch()  # of a process that was killed
    found = log(tmp_path, said)

    def full(_: Any, path: Path) -> None:
        path.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    found.add("first", VALUES, NUMBERS)
    found.close()
    assert "2 rows weren't logged: [Errno 28] No space left" in said[0]
    assert found.dropped == 2
    assert list(tmp_path.iterdir()) == []


def test_a_column_that_isnt_there_cant_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--log-without 'mile' is no column of the model. Did you mean 'miles'"):
        log(tmp_path, without=("mile",))


def test_files_beyond_the_bytes_go_the_oldest_first_and_no_other_model_s() -> None:
    old, new = Path("a-v2-20261130T110000000000Z.parquet"), Path("a-v1-20261130T120000000000Z.parquet")
    other = Path("b-v1-20261130T090000000000Z.parquet")
    sizes = {new: 60, old: 50, other: 1000}
    oldest = (NOW - timedelta(days=1)).strftime("%Y%m%dT%H%M%S%fZ")
    assert request_log.outdated(sizes, "a", oldest, 110) == []
    assert request_log.outdated(sizes, "a", oldest, 109) == [old]
    assert request_log.outdated(sizes, "a", oldest, 59) == [old, new]
    assert request_log.outdated(sizes, "a", "20261130T113000000000Z", 1000) == [old]
