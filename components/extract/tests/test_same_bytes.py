"""The same input gives the same bytes, whatever process reads it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfrecords import example, framed

MAPS = [
    ['{"train": 8, "eval": 1, "test": 1}', '{"id": "BIGINT", "amount": "DOUBLE"}'],
    ['{"test": 1.0, "train": 8.0, "eval": 1.0}', '{"amount": "DOUBLE", "id": "BIGINT"}'],
    ['{"eval": 1, "test": 1, "train": 8}', '{"amount":"DOUBLE","id":"BIGINT"}'],
]
PLACES = [
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "2", "TZ": "America/New_York", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
    {"PYTHONHASHSEED": "random", "TZ": "Asia/Kathmandu", "LANG": "de_DE.UTF-8", "OMP_NUM_THREADS": "1"},
]


def write_source(folder: Path, kind: str) -> str:
    """Writes two files and returns a glob of them."""
    rows = [
        {"id": i, "amount": i / 7, "name": f"é{i % 5}", "at": f"2013-01-{i % 28 + 1:02}T10:00:00Z"} for i in range(900)
    ]
    for number, part in enumerate((rows[:400], rows[400:])):
        table = pa.Table.from_pylist(part)
        path = folder / f"{number}.{kind}"
        if kind == "parquet":
            pq.write_table(table, path)
        elif kind == "tfrecord":
            records = (example(**{**row, "name": row["name"].encode(), "at": row["at"].encode()}) for row in part)
            path.write_bytes(framed(*records))
        elif kind == "jsonl":
            frame = [", ".join(f'"{name}": {value!r}'.replace("'", '"') for name, value in row.items()) for row in part]
            path.write_text("".join(f"{{{line}}}\n" for line in frame), encoding="utf-8")
        else:
            lines = [",".join(map(str, row.values())) for row in part]
            path.write_text("\r\n".join(["id,amount,name,at", *lines]) + "\n", encoding="utf-8")
    return f"{folder}/*.{kind}"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "tfrecord"])
def test_fresh_processes_give_the_same_bytes(tmp_path, kind):
    source = write_source(tmp_path, kind)
    found = []
    for number, ((splits, kinds), place) in enumerate(zip(MAPS, PLACES, strict=True)):
        folder = tmp_path / f"place {number}"
        folder.mkdir()
        outputs = [f"--{name.replace('_', '-')}={folder}/out/{name}" for name in ("examples", "manifest", "row_count")]
        command = [sys.executable, "-m", "extract", "--source", source, "--splits", splits, "--column-types", kinds]
        if number:  # one core
            command = ["taskset", "-c", "0", *command]
        environment = {**os.environ, **place}
        ended = subprocess.run(
            [*command, *outputs], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        found.append(digests(folder / "out"))
    assert found[1] == found[0]
    assert found[2] == found[0]
    assert len(found[0]) == 6


@pytest.mark.parametrize(
    ("splits", "flags", "order"),
    [
        ('{"eval": 1, "train": 2}', [], ["train", "eval"]),
        ('{"eval": 1, "train": 1}', [], ["train", "eval"]),
        ('{"b": 1, "a": 1, "c": 3}', [], ["c", "a", "b"]),
        (
            '{"test": null, "eval": "2013-11-01", "train": "2013-09-01"}',
            ["--split-by", "time", "--split-key", "day"],
            ["train", "eval", "test"],
        ),
        ('{"z": null, "b": 900, "a": 1000}', ["--split-by", "time", "--split-key", "id"], ["b", "a", "z"]),
    ],
)
def test_the_order_of_the_splits_in_the_manifest(extract, numbered, splits, flags, order):
    manifest = extract.ok(numbered(1200), "--splits", splits, *flags)
    assert list(manifest["splits"]) == order
    assert list(manifest["source"]["split"]["splits"]) == order
