"""docs/tasks/ of serving: each page followed to its end, with Envoy, and a stand-in for the model server.

What a run of the pipeline would push and stage is pushed and staged by a line of Python.
"""

import json
import os
import random
import subprocess
import sys
from textwrap import dedent

import duckdb
import pytest
from served_folders import ROOT, ServedFolder, link_checkout
from task_pages import Walk, terminal

from pipeyard.repository import component_programs, project
from pipeyard.serving import serving_programs
from pipeyard.system import marks

_STAGES = """\
import sys, time
from pathlib import Path
from rollout import desired
from rollout.policy import CANARY, DIRECT, Policy
served = Path(sys.argv[1])
for version, strategy in ((1, DIRECT), (2, CANARY)):
    (served / "taxi" / str(version)).mkdir(parents=True, exist_ok=True)
    (served / "taxi" / str(version) / "saved_model.pb").touch()
    options = {"strategy": strategy, "policy": Policy(), "registry_uri": "", "now": time.time()}
    desired.update(served / "taxi", lambda before: desired.stage(before, version, **options))
until = time.monotonic() + 30
while not (served / ".serve/logs/rollout-taxi.jsonl").exists() and time.monotonic() < until:
    time.sleep(0.05)
"""


@pytest.fixture
def walk(tmp_path, envoy):
    """Somebody in this repository's folder, where version 1 of a model is pushed."""
    served = ServedFolder(tmp_path.resolve() / "serving", envoy)
    served.push(1)
    (tmp_path / "stage.py").write_text(dedent(_STAGES))
    at = f"pipeyard serve --folder {served.folder.path}"
    instead = {
        "pipeyard serve start": f"{at} start --router {envoy} --model-server '{sys.executable} -m {served.SERVER}'",
        "pipeyard serve": at,
        ".venv/bin/pipeyard run chicago_taxi --param epochs=12 --param strategy=canary": (
            f"{sys.executable} {tmp_path}/stage.py {served.folder.path}"
        ),
        "chicago_taxi": "taxi",
        "rollout.html": f"{tmp_path}/rollout.html",
    }
    yield Walk(ROOT, instead, terminal(tmp_path, {"PYTHONPATH": str(ROOT / "tests")}), tmp_path), served
    served.pipeyard("stop", check=False)
    marks.kill({"PIPEYARD_SERVE": str(served.folder.path)})


def test_the_pages_lead_from_a_version_to_a_decided_rollout(walk, tmp_path):
    person, served = walk
    here, canary = "tasks/serve-here.md", "tasks/roll-out-with-a-canary.md"
    said = dict(person.follow(here))
    texts = list(said.values())
    assert "Served: version 1 of taxi" in texts[0]
    assert "version 1: ready, 100% of requests" in texts[1]
    assert texts[-1] == "Stopped.\n"
    said = dict(person.follow(canary))
    assert any("version 2" in text for line, text in said.items() if line.endswith(" status"))
    assert next(text for line, text in said.items() if " promote " in line).startswith("Version 2 of taxi is stable.")
    assert "version 2 beside 1, canary" in next(text for line, text in said.items() if " replay " in line)
    assert "<h1>taxi: version 2 beside version 1</h1>" in (tmp_path / "rollout.html").read_text()
    served.wait_for_shares(v2=100)


_TRAFFIC = """\
import json, sys, time, urllib.request
from pathlib import Path
url, rows, samples = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
for number, start in enumerate(range(0, len(rows), 10)):
    body = json.dumps({"instances": rows[start : start + 10]}).encode()
    headers = {"content-type": "application/json", "x-request-id": f"request-{number}"}
    urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10).read()
until = time.monotonic() + 30
while len(list(samples.glob("*.parquet"))) < 1 and time.monotonic() < until:
    time.sleep(0.02)
"""


def _rides(fares: tuple[int, int]) -> list[dict]:
    source = random.Random(5)
    return [{"fare": source.uniform(*fares), "company": source.choice(["Flash Cab", "Blue"])} for _ in range(300)]


@pytest.fixture
def checkout(tmp_path):
    """A copy of this repository, as far as serving needs it, in which nothing is pushed."""
    return link_checkout(tmp_path.resolve() / "project")


@pytest.fixture
def watched(checkout, tmp_path, envoy):
    """The copy, with a pushed model that was trained on cheap rides."""
    root = checkout
    rides = tmp_path / "rides.jsonl"
    rides.write_text("\n".join(map(json.dumps, _rides((5, 15)))))
    found = project.find(root)
    named = [f"--{name}={tmp_path / name}" for name in ("examples", "manifest", "row-count")]
    extract = ["-m", "extract", f"--source={rides}", *named]
    component_programs.run(found, "extract", extract, "a test's data are read", print)
    outputs = ("statistics", "schema", "anomalies", "report", "valid", "anomaly-count", "drift-detected")
    validation = ["-m", "data_validation", *named[:1], *(f"--{name}={tmp_path / name}" for name in outputs)]
    component_programs.run(found, "data_validation", validation, "a test's data are read", print)
    version = root / "serving/chicago_taxi/1"
    (version / "assets.extra").mkdir(parents=True)
    (version / "saved_model.pb").touch()
    (version / "assets.extra/stats.tfrecord").write_bytes((tmp_path / "statistics/stats.tfrecord").read_bytes())
    yield root
    marks.kill({"PIPEYARD_SERVE": str(root / "serving")})


def test_live_data_that_drift_fire_the_trigger_as_the_page_says(watched, tmp_path, envoy):
    (tmp_path / "traffic.py").write_text(_TRAFFIC)
    (tmp_path / "asked.json").write_text(json.dumps(_rides((25, 45))))
    url, samples = "http://127.0.0.1:$PORT/v1/models/chicago_taxi:predict", "serving/.serve/samples/chicago_taxi"
    port = "PORT=$(.venv/bin/pipeyard serve status | grep -o '127.0.0.1:[0-9]*' | head -1 | cut -d : -f 2)"
    traffic = f"{port}; {sys.executable} {tmp_path}/traffic.py {url} {tmp_path}/asked.json {samples}"
    server = f"--router {envoy} --model-server '{sys.executable} -m support.stand_in_model_server'"
    instead = {
        "pipeyard serve start": f"pipeyard serve start {server}",
        ".venv/bin/pipeyard serve monitor": f"{traffic}; .venv/bin/pipeyard serve monitor",
    }
    path = os.pathsep.join((str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")))
    person = Walk(watched, instead, terminal(tmp_path, {"PYTHONPATH": path}), tmp_path)
    try:
        said = person.follow("tasks/watch-what-is-served.md")
    finally:
        marks.kill({"PIPEYARD_SERVE": str(watched / "serving")})
    texts = {line.rpartition("pipeyard ")[2].split(" chicago_taxi")[0]: text for line, text in said}
    compared = texts["serve monitor"]
    assert "train: 300 rows, 2 columns" in compared  # what the server adds, and the columns left out, aren't data
    assert "(skew): 'fare'" in compared
    assert "'company'" not in compared
    fired = texts["trigger --env local drift"]
    assert "fare (train): Kolmogorov-Smirnov 1 > 0.25" in fired
    (company,) = (line for line in fired.splitlines() if "company (train)" in line)
    assert company.endswith(" within 0.25")
    assert texts["serve forget"].startswith("Removed ")
    assert not list((watched / "serving/.serve/samples").rglob("*.*"))


_ASKED_AND_LABELLED = """\
import json, sys, time, urllib.request
from pathlib import Path
import duckdb
served, labels = Path(sys.argv[1]), Path(sys.argv[2])
state = served / ".serve/state.json"
until = time.monotonic() + 30
while time.monotonic() < until:  # the candidate has its share of the traffic
    told = json.loads(state.read_text())["models"]["taxi"]["versions"].get("2", {})
    if told.get("healthy") and told.get("share") == 50:
        break
    time.sleep(0.05)
url = json.loads(state.read_text())["url"] + "/v1/models/taxi:predict"
for number in range(600):
    headers = {"content-type": "application/json", "x-request-id": f"r{number}"}
    urllib.request.urlopen(urllib.request.Request(url, b'{"instances": [{"fare": 1.5}]}', headers), timeout=10).read()
labels.write_text("request_id,label\\n" + "".join(f"r{number},yes\\n" for number in range(600)))
until, kept = time.monotonic() + 30, 0
while kept < 600 and time.monotonic() < until:
    time.sleep(0.05)
    if list((served / ".serve/samples/taxi").glob("*.parquet")):
        rows = f"SELECT DISTINCT _request_id FROM '{served}/.serve/samples/taxi/*.parquet' WHERE _version IN (1, 2)"
        kept = duckdb.sql(f"SELECT count(*) FROM ({rows}) WHERE _request_id SIMILAR TO 'r[0-9]+'").fetchall()[0][0]
"""


def test_a_version_that_labels_show_to_be_worse_is_rolled_back_as_the_page_says(walk, tmp_path):
    person, served = walk
    for version, score in ((1, 0.9), (2, 0.1)):  # `yes`, which is right, and `no`
        (served.folder.path / f"taxi/{version}").mkdir(exist_ok=True)
        (served.folder.path / f"taxi/{version}/behaviour.json").write_text(json.dumps({"score": score}))
    # By nothing but labels, and half of the traffic at once.
    policy = "Policy(steps=(50, 100), min_requests=10**6, drift_limit=None, latency_ratio=None)"
    (tmp_path / "stage.py").write_text(_STAGES.replace("Policy()", policy))
    (tmp_path / "label.py").write_text(_ASKED_AND_LABELLED)
    decided = (
        f"timeout 30 sh -c 'until grep -q rolled_back {served.folder.path}/taxi/rollout.json; do sleep 0.05; done'"
    )
    at = f"pipeyard serve --folder {served.folder.path}"
    person.instead = {
        ".venv/bin/pipeyard serve labels": (
            f"{sys.executable} {tmp_path}/label.py {served.folder.path} {tmp_path}/labels.csv; .venv/bin/{at} labels"
        ),
        "labels.csv": f"{tmp_path}/labels.csv",
        ".venv/bin/pipeyard serve report": f"{decided}; .venv/bin/{at} report",
        "ab.html": f"{tmp_path}/ab.html",
        **person.instead,
    }
    person.instead = dict(sorted(person.instead.items(), key=lambda item: -len(item[0])))
    said = "".join(text for _, text in person.follow("tasks/ab-with-labels.md"))
    assert "600 labels taken." in said
    assert "candidate less stable: -1, between -1 and -1 (look 1, " in said
    text = (tmp_path / "ab.html").read_text()
    assert "Version 2 was rolled back" in text
    assert "labels: the metric is 0 for the candidate and 1 for the stable version" in text


_EXPORTED = """\
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import small_models
small_models.export(Path(sys.argv[2]), "binary")
"""
_ANSWERED = """\
import json, sys
from pathlib import Path
from model_server import bodies, saved_models
model, asked = saved_models.load(Path(sys.argv[1])), json.loads(Path(sys.argv[2]).read_text())
asked = bodies.read_v1({"instances": asked}, model.reader, 100)
print(bodies.write_v1(model.answers, model.ask(model.reader.tensors(asked.values, asked.rows)), "1").decode())
"""


def test_files_are_scored_as_the_model_server_answers_as_the_page_says(checkout, tmp_path):
    found = project.find(checkout)
    version = checkout / "serving/chicago_taxi/1"
    exported = ["-c", _EXPORTED, str(ROOT / "components/batch_predict/tests"), str(version)]
    component_programs.run(found, "batch_predict", exported, "a test's model is made", print)
    rows = [{"miles": 0.3, "area": 2, "Company Name": "Flash Cab"}, {"miles": 0.25, "area": None, "Company Name": ""}]
    rows += [{"miles": number / 16, "area": number, "Company Name": f"{number} \u00e4"} for number in range(20)]
    lines = [f"{row['miles']},{'' if row['area'] is None else row['area']},{row['Company Name']}" for row in rows]
    text = "miles,area,Company Name,company,fare\n" + "".join(f"{line},C{n},{n}.5\n" for n, line in enumerate(lines))
    rides = tmp_path / "rides.csv"
    rides.write_text(text, encoding="utf-8")
    person = Walk(checkout, {"rides.csv": str(rides)}, terminal(tmp_path, {}), tmp_path)
    (_, told), (_, as_json) = person.follow("tasks/score-a-file.md")
    assert "22 rows scored with chicago_taxi, version 1: scores.parquet" in told
    read = duckdb.sql(f"SELECT * FROM '{checkout}/scores.parquet'")
    assert read.columns == ["company", "fare", "probability", "class", "threshold"]
    scored = read.fetchall()
    assert [row[:2] for row in scored] == [(f"C{number}", number + 0.5) for number in range(22)]
    (tmp_path / "asked.json").write_text(json.dumps(rows))
    server = serving_programs.model_server(found, print)
    command = [server.command[0], "-c", _ANSWERED, str(version), str(tmp_path / "asked.json")]
    done = subprocess.run(command, env={**os.environ, **server.env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    served = json.loads(done.stdout)["predictions"]
    assert [row[2:] for row in scored] == [(each["probability"], each["class"], each["threshold"]) for each in served]
    assert {each["class"] for each in served} == {"no tip", "tip"}
    named = json.loads(as_json[as_json.index("{") :])
    assert [each["name"] for each in named["columns"]] == [f"predicted_{name}" for name in read.columns[2:]]
    again = duckdb.sql(f"SELECT * FROM '{checkout}/scores/part-00000.parquet'").fetchall()
    assert again == [row[2:] for row in scored]
