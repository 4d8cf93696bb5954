"""Secrets don't get into what is recorded of a run, whoever gives them, and messages don't repeat them."""

import json
import sys

import pytest
from support import trigger_projects

from pipeyard import cli
from pipeyard.deployment.targets import choice
from pipeyard.errors import PipeyardError
from pipeyard.settings import load, secrets

SECRET = "hunter2"
TEXTS = [
    "postgresql://user:hunter2@host/db",
    "postgresql+psycopg2://user:hunter2@host:5432/db?sslmode=require",
    "postgresql://user:hun/hunter2@host/db",
    "postgresql://user:3/hunter2@host/db" + "?password=hunter2",
    "mongodb+srv://:hunter2@cluster/db",
    "https://user:hunter2@host/file.csv",
    "jdbc:postgresql://host/db?user=me&password=hunter2",
    "host=h user=me password=hunter2",
    "Server=tcp:h;Database=d;Uid=me;Pwd=hunter2;",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;EndpointSuffix=core.windows.net",
    "https://host/file.csv?access_token=hunter2",
    "https://storage.googleapis.com/b/o?X-Goog-Algorithm=GOOG4&X-Goog-Signature=hunter2hunter2hunter2",
    "https://b.s3.amazonaws.com/o?X-Amz-Expires=9&X-Amz-Signature=hunter2hunter2hunter2",
    "https://a.blob.core.windows.net/c/o?sv=2024-11-04&sp=r&sig=hunter2hunter2hunter2%3D",
    "AKIAHUNTER2HUNTER2AB",
    "ghp_hunter2hunter2hunter2hunter2hunter2",
    '{"connection": "postgresql://user:hunter2@host/db"}',
]
PLAIN = [
    "postgresql://user@host/db",
    "http://host:8080/a@b",
    "http://host:8080/path?x=a@b",
    "gs://bucket/a:b@c.csv",
    "oci://host:5000/name:tag@sha256:0123",
    "SELECT * FROM t WHERE password = ''",
    "SELECT password FROM t WHERE password='' AND a = b",
    "europe-west1-docker.pkg.dev/p/r/i:tag@sha256:01",
    "mongodb://h1:27017,h2:27017/db?x=a@b",
    "max_tokens=5",
    "https://host/file.csv?sig=5",
    "SELECT a FROM t WHERE signature=hunter2hunter2hunter2",
]


@pytest.fixture
def project(tmp_path):
    return trigger_projects.make(tmp_path, {"read": {}})


def run(project, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments, "--project", str(project.root)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    return end.value.code, out + err


@pytest.mark.parametrize("text", TEXTS)
def test_what_looks_like_a_secret_is_found(text):
    told = secrets.problems({"source": text}, lambda name: f"--param {name}")["source"]
    assert told.startswith("--param source: ")
    assert SECRET not in told.lower()


@pytest.mark.parametrize("text", PLAIN)
def test_what_only_resembles_one_isn_t(text):
    assert not secrets.problems({"source": text}, str)


def test_where_in_a_value_it_stands_is_told():
    value = {"databases": [{"url": "plain"}, {"url": "mysql://a:hunter2@h"}], "api_key": "hunter2"}
    told = secrets.problems({"sources": value}, str)["sources"]
    assert told.startswith("sources, at sources.databases[1].url: a password is in the URL. Leave it out")
    told = secrets.problems({"api_key": "hunter2"}, str)["api_key"]
    assert told.startswith("api_key: api_key is a secret by its name, and its value is recorded with the run. Secrets")


def test_a_parameter_of_the_command_line_starts_no_run_and_leaves_nothing(project, monkeypatch, capsys):
    given = ("--param", "source=postgresql://user:hunter2@host/db", "--param", "note=AKIAHUNTER2HUNTER2AB")
    code, told = run(project, monkeypatch, capsys, "run", "read", "--env", "here", *given)
    assert code == 1
    assert "the parameter 'source': a password is in the URL. Leave it out, and let the step read it from its" in told
    assert "the parameter 'note': this looks like a key or token" in told
    assert SECRET not in told.lower()
    assert not [path for path in (project.root / "runs").rglob("*") if path.is_file()]


def test_a_secret_where_a_number_is_wanted_isn_t_repeated(project, monkeypatch, capsys):
    pipeline = project.root / "pipelines/read/pipeline.py"
    pipeline.write_text(pipeline.read_text().replace('note: str = ""', "note: int = 1"))
    given = ("--param", "source=a", "--param", "note=postgresql://user:hunter2@host/db")
    code, told = run(project, monkeypatch, capsys, "run", "read", "--env", "here", *given)
    assert (code, "the parameter 'note': a password is in the URL" in told, SECRET in told) == (1, True, False)


def test_a_default_of_the_pipeline_s_own_is_refused_too(project, monkeypatch, capsys):
    pipeline = project.root / "pipelines/read/pipeline.py"
    pipeline.write_text(pipeline.read_text().replace('note: str = ""', 'note: str = "ftp://user:hunter2@host"'))
    code, told = run(project, monkeypatch, capsys, "run", "read", "--env", "here", "--param", "source=a")
    assert (code, "the parameter 'note': a password is in the URL" in told, SECRET in told) == (1, True, False)


def test_what_a_trigger_gives_a_run_is_checked(project):
    here = load(project.root).environment("here")
    with pytest.raises(PipeyardError, match="--param source: the parameter 'source': a password is in the URL") as told:
        choice.runs(here, project).start("read", {"source": "postgresql://user:hunter2@host/db"}, "key")
    assert SECRET not in str(told.value)


def test_a_run_that_is_recorded_has_no_secret_of_a_plain_value(project, monkeypatch, capsys):
    given = ("--param", "source=postgresql://user@host/db", "--json")
    code, _ = run(project, monkeypatch, capsys, "run", "read", "--env", "here", *given)
    (record,) = (project.root / "runs").glob("*/run.json")
    assert (code, json.loads(record.read_text())["parameters"]["source"]) == (0, "postgresql://user@host/db")
