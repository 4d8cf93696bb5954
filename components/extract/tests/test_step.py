import hashlib
import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from conftest import ONE_SPLIT
from extract import shards
from extract.cli import main


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def assignment(extract, *names: str) -> dict[int, str]:
    return {row["id"]: name for name in names for row in extract.table(name).to_pylist()}


def test_layout_and_manifest(extract, numbered):
    source = numbered(5000)
    manifest = extract.ok(source, "--rows-per-shard", "1000", "--where", "id >= 1000")
    examples = extract.outputs / "examples"
    assert json.loads((examples / "manifest.json").read_text()) == manifest
    assert manifest["columns"] == [
        {"name": "id", "type": "int64"},
        {"name": "group", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "day", "type": "date32[day]"},
    ]
    assert list(manifest["splits"]) == ["train", "eval", "test"]
    assert sum(split["rows"] for split in manifest["splits"].values()) == 4000
    assert (extract.outputs / "row_count").read_text() == "4000"
    listed = [file for split in manifest["splits"].values() for file in split["files"]]
    assert {"manifest.json", *(file["path"] for file in listed)} == set(digests(examples))
    for file in listed:
        written = examples / file["path"]
        assert file["sha256"] == hashlib.sha256(written.read_bytes()).hexdigest()
        assert file["bytes"] == written.stat().st_size
        assert file["rows"] == pq.read_metadata(written).num_rows <= 1000
    assert [file["path"] for file in manifest["splits"]["train"]["files"]][:2] == [
        "train/part-00000.parquet",
        "train/part-00001.parquet",
    ]
    assert manifest["source"]["format"] == "csv"
    assert manifest["source"]["globs"] == [str(source)]
    assert manifest["source"]["files"] == [
        {
            "path": str(source),
            "bytes": source.stat().st_size,
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        }
    ]
    assert manifest["source"]["where"] == "id >= 1000"
    assert manifest["source"]["split"] == {"by": "hash", "key": "", "splits": {"train": 4, "eval": 1, "test": 1}}


def test_the_same_input_gives_the_same_bytes(extract, numbered):
    numbered(200_000)
    extract.ok(extract.folder / "*.csv", "--rows-per-shard", "70000")
    first = digests(extract.outputs)
    extract.ok(extract.folder / "*.csv", "--rows-per-shard", "70000")
    assert digests(extract.outputs) == first


def test_a_query_gives_the_same_bytes(extract, numbered):
    source = numbered(200_000)
    query = 'SELECT "group", amount % 1000 AS a, sum(amount / 3) AS total FROM source GROUP BY ALL'
    extract.ok(source, "--query", query)
    first = digests(extract.outputs)
    extract.ok(source, "--query", query)
    assert digests(extract.outputs) == first


def test_rows_keep_their_order(extract, numbered):
    numbered(100_000, "1.csv")
    numbered(100_000, "2.csv", range(100_000, 200_000))
    extract.ok(extract.folder / "*.csv", *ONE_SPLIT)
    assert extract.table()["id"].to_pylist() == list(range(200_000))


def test_a_batch_boundary_does_not_show_in_the_files(tmp_path, extract, numbered):
    extract.ok(numbered(150_000), *ONE_SPLIT)
    table = extract.table()
    written = []
    for size in (1000, 33_333):
        folder = tmp_path / str(size)
        folder.mkdir()
        with shards.ShardWriter(folder, "all", table.schema, 1_000_000) as writer:
            for batch in table.to_batches(max_chunksize=size):
                writer.add(batch)
            writer.finish()
        written.append(digests(folder))
    assert written[0] == written[1]


def test_the_hash_is_the_documented_one(extract, csv):
    extract.ok(csv("b,a\n" + "".join(f"{i},k{i / 4}\n" for i in range(500))), "--columns", '["b"]')

    def expected(*texts: str) -> str:
        number = int.from_bytes(hashlib.md5("\x1f".join(texts).encode()).digest()[8:], "little")
        return ("eval", "test", "train", "train", "train", "train")[number * 6 // 2**64]  # in the order of names

    found = {row["b"]: name for name in ("train", "eval", "test") for row in extract.table(name).to_pylist()}
    assert found == {i: expected(f"k{i / 4}", str(i)) for i in range(500)}
    extract.ok(extract.folder / "data.csv", "--split-key", "a")
    found = {row["b"]: name for name in ("train", "eval", "test") for row in extract.table(name).to_pylist()}
    assert found == {i: expected(f"k{i / 4}") for i in range(500)}


def test_golden_split(extract, csv):
    header = "id,amount,flag,day,at,at_utc,name\n"
    rows = [f"{i},{i / 7!r},{'true' if i % 2 else 'false'},2013-01-{i + 1:02},2013-01-01 10:00:{i:02},"
            f"2013-01-01T10:00:{i:02}Z,{'' if i == 3 else chr(0x4E00 + i)}\n" for i in range(24)]  # fmt: skip
    extract.ok(csv(header + "".join(rows)))
    assert [row["id"] for row in extract.table("eval").to_pylist()] == GOLDEN_EVAL
    assert [row["id"] for row in extract.table("test").to_pylist()] == GOLDEN_TEST


GOLDEN_EVAL = [1, 6, 14, 18]
GOLDEN_TEST = [9, 12]


def test_splits_depend_on_nothing_but_the_row(extract, numbered, csv):
    source = numbered(3000)
    extract.ok(source, "--splits", '{"train": 2, "eval": 1}')
    first = assignment(extract, "train", "eval")
    assert 0.3 < list(first.values()).count("eval") / 3000 < 0.37

    shuffled = list(range(3000))
    random.Random(5).shuffle(shuffled)
    source.unlink()
    numbered(0, "z.csv", shuffled[:1000])
    numbered(0, "a.csv", shuffled[1000:])
    extract.ok(extract.folder / "*.csv", "--splits", '{"eval": 1.0, "train": 2.0}')
    assert assignment(extract, "train", "eval") == first

    reordered = [f"2013-{i % 12 + 1:02}-01,{i},{i / 4},g{i % 7}\n" for i in range(3000)]
    for file in extract.folder.glob("*.csv"):
        file.unlink()
    source = csv("day,id,amount,group\n" + "".join(reordered), "one.csv")
    extract.ok(source, "--splits", '{"train": 2, "eval": 1}', "--columns", '["id"]')
    assert assignment(extract, "train", "eval") == first


def test_by_default_train_keeps_the_rows_that_it_had_and_test_comes_out_of_eval(extract, numbered):
    source = numbered(6000)
    extract.ok(source, "--splits", '{"train": 2, "eval": 1}')
    before = {name: extract.table(name)["id"].to_pylist() for name in ("train", "eval")}
    manifest = extract.ok(source)
    now = {name: extract.table(name)["id"].to_pylist() for name in manifest["splits"]}
    assert now["train"] == before["train"]
    assert sorted(now["eval"] + now["test"]) == before["eval"]
    assert len(now["eval"]) == pytest.approx(1000, rel=0.1)
    assert len(now["test"]) == pytest.approx(1000, rel=0.1)


def test_a_key_keeps_its_rows_together(extract, numbered):
    extract.ok(numbered(1000), "--split-key", "group", "--splits", '{"train": 1, "eval": 1}')
    groups = [set(extract.table(name)["group"].to_pylist()) for name in ("train", "eval")]
    assert not groups[0] & groups[1]
    assert len(groups[0] | groups[1]) == 7


def test_three_splits_by_share(extract, numbered):
    manifest = extract.ok(numbered(20_000), "--splits", '{"train": 0.8, "eval": 0.1, "test": 0.1}')
    rows = {name: split["rows"] for name, split in manifest["splits"].items()}
    assert list(rows) == ["train", "eval", "test"]
    assert rows["train"] == pytest.approx(16_000, rel=0.02)
    assert rows["eval"] == pytest.approx(2000, rel=0.1)


@pytest.mark.parametrize(
    ("key", "splits"),
    [
        ("day", '{"train": "2013-09-01", "eval": "2013-11-01", "test": null}'),
        ("day", '{"test": null, "eval": "2013-11-01", "train": "2013-09-01"}'),
        ("day", '{"test": "rest", "eval": "2013-11-01", "train": "2013-09-01"}'),
        ("at", '{"train": "2013-09-01", "eval": "2013-11-01T00:00:00", "test": null}'),
        ("at_utc", '{"train": "2013-09-01", "eval": "2013-11-01T02:00:00+02:00", "test": null}'),
        ("epoch", '{"train": 1377993600, "eval": 1383264000.0, "test": null}'),
        ("epoch", '{"train": 1377993600, "eval": 1383264000.0, "test": "rest"}'),
    ],
)
def test_splits_by_time(extract, csv, key, splits):
    days = [(month, day) for month in range(1, 13) for day in (1, 28)]
    rows = [
        f"{month},2013-{month:02}-{day:02},2013-{month:02}-{day:02} 00:00:00,2013-{month:02}-{day:02}T00:00:00Z,"
        f"{int(time.mktime((2013, month, day, 0, 0, 0, 0, 0, 0)) - time.timezone)}\n"
        for month, day in days
    ]
    source = csv("month,day,at,at_utc,epoch\n" + "".join(rows))
    manifest = extract.ok(source, "--split-by", "time", "--split-key", key, "--splits", splits)
    assert manifest["source"]["split"]["splits"]["test"] is None
    months = {name: set(extract.table(name)["month"].to_pylist()) for name in ("train", "eval", "test")}
    assert months == {"train": set(range(1, 9)), "eval": {9, 10}, "test": {11, 12}}


def test_where_and_columns(extract, numbered):
    rows = extract.rows(numbered(100), "--where", "amount < 1 -- cheap", "--columns", '["group", "id"]')
    assert [list(row) for row in rows] == [["group", "id"]] * 4
    assert [row["id"] for row in rows] == [0, 1, 2, 3]


def test_a_query_over_files(extract, numbered):
    query = 'SELECT "group", count(*) AS n, sum(id) AS total FROM source GROUP BY 1 ORDER BY 1;'
    rows = extract.rows(numbered(14), "--query", query, "--where", "n > 1")
    assert rows[0] == {"group": "g0", "n": 2, "total": 7}
    assert len(rows) == 7


def test_remote_files(extract):
    memory = fsspec.filesystem("memory")
    for number in (1, 2):
        memory.pipe(f"/bucket/day={number}/data.csv", f"id,text\n{number},x\n".encode())
    manifest = extract.ok("memory://bucket/day=*/*.csv", *ONE_SPLIT)
    assert extract.table()["id"].to_pylist() == [1, 2]
    assert [file["path"] for file in manifest["source"]["files"]] == [
        "memory:///bucket/day=1/data.csv",
        "memory:///bucket/day=2/data.csv",
    ]
    assert "matches no file in 'memory:///bucket/day=1'. Did you mean 'data.csv'?" in extract.fails(
        "memory://bucket/day=1/dota.csv"
    )


def test_several_globs_and_a_file_twice(extract, numbered):
    one, two = numbered(3, "1.csv"), numbered(0, "2.csv", [3, 4])
    extract.ok(f"{two}, {one},{extract.folder}/*.csv", *ONE_SPLIT)
    assert extract.table()["id"].to_pylist() == [3, 4, 0, 1, 2]


BAD = {
    "no such file": (["--source", "{folder}/dato.csv"], "matches no file in '{folder}'. Did you mean 'data.csv'?"),
    "no such folder": (["--source", "{folder}/nope/data.csv"], "there is no folder '{folder}/nope'"),
    "a folder": (["--source", "{folder}"], "is a folder. Give the files in it, e.g. '{folder}/*.csv'"),
    "no source": (["--source", " , "], "--source is empty"),
    "no ending": (["--source", "{folder}/data"], "doesn't say by its ending what it is. Give --format"),
    "mixed formats": (["--source", "{folder}/data.*"], "--source mixes csv"),
    "unknown scheme": (["--source", "nosuch://x/data.csv"], "Can't open 'nosuch://x/data.csv'"),
    "where: column": (
        ["--where", "amuont > 1"],
        "--where names 'amuont', which isn't a column. Did you mean 'a",
    ),
    "where: syntax": (["--where", "amount >"], "--where isn't valid SQL: syntax error"),
    "where: type": (["--where", "amount = 'x'"], "Could not convert string 'x' to DOUBLE. Check --where"),
    "where: nothing": (["--where", "id < 0"], "No rows: --where 'id < 0' keeps none"),
    "query: column": (
        ["--query", "SELECT amuont FROM source"],
        "--query names 'amuont', which isn't a column",
    ),
    "query: syntax": (["--query", "SELEC 1"], "--query isn't valid SQL: syntax error"),
    "query: table": (["--query", "SELECT * FROM sauce"], "--query isn't valid SQL: Table with name sauce"),
    "query: no select": (["--query", "CREATE TABLE a (b INT)"], "--query isn't one SELECT"),
    "query: two": (["--query", "SELECT 1; SELECT 2"], "--query isn't one SELECT"),
    "query: nested": (["--query", "SELECT [id] AS ids FROM source"], "Column 'ids' is BIGINT[]: examples hold single"),
    "query: at run time": (
        ["--query", 'SELECT "group"::INT AS g FROM source'],
        "line 2: column 'group' has 'g0', which is no INTEGER",
    ),
    "columns": (["--columns", '["id", "grop"]'], "--columns names 'grop', which isn't a column. Did you mean 'group'?"),
    "columns twice": (["--columns", '["id", "id"]'], "--columns names 'id' twice"),
    "column types": (["--column-types", '{"ammount": "DOUBLE"}'], "--column-types names 'ammount', which the source"),
    "no such type": (["--column-types", '{"id": "INTEGRE"}'], "the type 'INTEGRE', which SQL doesn't have"),
    "key": (["--split-key", "grp"], "--split-key 'grp' isn't a column. Did you mean 'group'?"),
    "no splits": (["--splits", "{}"], "--splits names no split"),
    "a split's name": (["--splits", '{"../x": 1}'], "Split '../x' in --splits can't name a folder"),
    "a share of nothing": (["--splits", '{"a": 1, "b": 0}'], "The share of split 'b' in --splits is 0"),
    "a share that is no number": (["--splits", '{"a": "2013-01-01"}'], "Give a number above 0, or --split-by time"),
    "an empty split": (
        ["--splits", '{"train": 1000000, "eval": 1}'],
        "Split 'eval' is empty: its share is 1 of 1000001, and there are 100 rows",
    ),
    "rows per shard": (["--rows-per-shard", "0"], "--rows-per-shard is 0"),
    "time: no end": (
        ["--split-by", "time", "--split-key", "day", "--splits", '{"a": "2013-02-01"}'],
        'one split in --splits is the last and has the "rest" (or null); 0 do',
    ),
    "time: two ends": (
        ["--split-by", "time", "--split-key", "day", "--splits", '{"a": "2013-02-01", "b": null, "c": "rest"}'],
        'one split in --splits is the last and has the "rest" (or null); 2 do',
    ),
    "hash: the rest": (["--splits", '{"a": 1, "b": "rest"}'], "The share of split 'b' in --splits is 'rest'"),
    "time: not a time": (
        ["--split-by", "time", "--split-key", "group", "--splits", '{"a": "2013-02-01", "b": null}'],
        "--split-key 'group' is VARCHAR, no time",
    ),
    "time: a bad end": (
        ["--split-by", "time", "--split-key", "day", "--splits", '{"a": "soon", "b": null}'],
        "Split 'a' in --splits ends at 'soon', but column 'day' is DATE",
    ),
    "time: a number's end": (
        ["--split-by", "time", "--split-key", "id", "--splits", '{"a": "2013-01-01", "b": null}'],
        "but column 'id' is BIGINT. Give an end such as 1378000000",
    ),
    "time: an empty split": (
        ["--split-by", "time", "--split-key", "day", "--splits", '{"a": "2000-01-01", "b": null}'],
        "Split 'a' is empty: it ends at '2000-01-01', and there are 100 rows",
    ),
    "time: no time in a row": (
        [
            *("--split-by", "time", "--split-key", "late", "--splits", '{"a": "2013-01-01", "b": null}'),
            *("--query", "SELECT id, CASE WHEN id < 90 THEN day END AS late FROM source"),
        ],
        "A row has no value in --split-key 'late'",
    ),
}


@pytest.mark.parametrize(("flags", "message"), BAD.values(), ids=BAD)
def test_bad_input(extract, numbered, flags, message):
    numbered(100)
    for name in ("data", "data.parquet"):
        (extract.folder / name).write_text("x")
    flags = [flag.replace("{folder}", str(extract.folder)) for flag in flags]
    error = extract.fails(extract.folder / "data.csv", *flags)
    assert message.replace("{folder}", str(extract.folder)) in error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split-by", "time"], "--split-by time needs a --split-key"),
        (["--format", "sql"], "--format sql reads databases"),
    ],
)
def test_usage(extract, numbered, flags, message):
    assert message in extract.fails(numbered(10), *flags, code=2)


@pytest.mark.parametrize("flags", [["--format", "xml"], ["--splits", "2:1"], ["--columns", "{}"]])
def test_usage_that_argparse_sees(extract, numbered, flags):
    with pytest.raises(SystemExit) as ended:
        extract.run(numbered(10), *flags)
    assert ended.value.code == 2
    assert not extract.outputs.exists()


def test_a_full_disk(extract, numbered):
    # A limit on the size of files makes writes fail as a full disk does, and needs no rights to mount one.
    source = numbered(50_000)
    command = [sys.executable, "-m", "extract", "--source", str(source)]
    outputs = ["--examples", str(extract.outputs / "examples"), "--manifest", str(extract.outputs / "manifest")]
    ended = subprocess.run(
        [*command, *outputs],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "extract: error: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(extract.outputs.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_no_output(extract, numbered, number):
    source = numbered(200_000)
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "extract", "--source", str(source)),
            *("--examples", str(extract.outputs / "examples"), "--manifest", str(extract.outputs / "manifest")),
        ],
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and not list(extract.outputs.glob(".*/*")):
            time.sleep(0.002)
        process.send_signal(number)
    assert process.returncode in (-number, 128 + number)
    assert not [item for item in extract.outputs.iterdir() if not item.name.startswith(".")]


def test_memory_stays_flat(tmp_path):
    def peak(count: int) -> float:
        """Returns the peak of an extraction of `count` rows, in MB."""
        source = tmp_path / f"{count}.csv"
        with source.open("w") as stream:
            stream.write("id,group,amount,text\n")
            for start in range(0, count, 1000):
                stream.writelines(f"{i},g{i % 7},{i / 4},some text that is {i}\n" for i in range(start, start + 1000))
        script = (
            "import resource, sys; from extract.cli import main; code = main(sys.argv[1:]); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
        )
        flags = ["--source", str(source), "--examples", str(tmp_path / "e"), "--manifest", str(tmp_path / "m")]
        ended = subprocess.run([sys.executable, "-c", script, *flags], check=True, capture_output=True, text=True)
        return int(ended.stdout) / 1024

    small, large = peak(100_000), peak(1_000_000)
    assert large < small * 2.5 + 50, (small, large)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 0, ""),
        (["--splits", '{"a": 1, "b": 0}'], 1, "The share of split 'b' in --splits is 0"),
        (["--split-by", "time"], 2, "--split-by time needs a --split-key"),
        (["--rows-per-shard", "0"], 1, "--rows-per-shard is 0"),
    ],
)
def test_parameters_alone_can_be_checked(capsys, tmp_path, flags, code, message):
    assert main(["--check", "--source", str(tmp_path / "not there yet.csv"), *flags]) == code
    assert message in capsys.readouterr().err
