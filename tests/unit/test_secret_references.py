"""`${secret:NAME}`: a step gets the secret, and whatever is recorded of its run has the reference."""

import json
import sys

import pytest
from support import trigger_projects

from pipeyard import cli, ir, settings
from pipeyard.compiling import compiler
from pipeyard.errors import PipeyardError
from pipeyard.local import hidden_secrets
from pipeyard.local.hidden_secrets import HiddenSecrets
from pipeyard.settings import fit, secret_references, secrets

# What JSON and URLs write otherwise.
SECRET = 'p"w\\d/ü 1'
URL = "postgresql://user:${secret:PG_PASSWORD}@host/db"
# Tells its input in every form, in its output parameter, its output's metadata and its log.
SPEC = """\
name: read
inputs:
- {name: source, type: String}
- {name: more, type: JsonObject, default: '{}'}
outputs:
- {name: told, type: String}
- {name: facts, type: JsonObject}
implementation:
  container:
    image: tiny/read:dev
    command:
    - python
    - -c
    - |
      import json, pathlib, sys, urllib.parse
      source, more, given, told, facts = sys.argv[1:]
      values = json.loads(given)["inputs"]["parameterValues"]
      assert values["source"] == source and values["more"] == json.loads(more)
      print(source, given, urllib.parse.quote(source))
      if "bad" in source:
          sys.exit("can't connect to " + source)
      pathlib.Path(told).parent.mkdir(parents=True, exist_ok=True)
      pathlib.Path(told).write_text(f"{len(source)} {source}")
      pathlib.Path(facts).write_text(json.dumps({"source": source, "more": json.loads(more)}))
    args: [{inputValue: source}, {inputValue: more}, {executorInput: null}, {outputPath: told}, {outputPath: facts}]
"""
PIPELINE = """\
from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

components = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"]).load_components("read")


@dsl.pipeline(name="read")
def pipeline(source: str, more: dict = {}, note: str = "NOTE"):
    first = components.read(source=source, more=more)
    components.read(source=f"{source}?x", more={"from": source}).after(first)
"""
SERVER = {"target": "kfp", "host": "http://localhost:1", "bucket": "gs://some-bucket", "pipeline_root": "gs://b/r"}
VERTEX = {"target": "vertex", "project": "p", "region": "r", "bucket": "gs://some-bucket", "pipeline_root": "gs://b/r"}


@pytest.fixture
def project(tmp_path):
    parameters = {"source": URL, "more": {"password": "${secret:PG_PASSWORD}"}}
    made = trigger_projects.make(tmp_path, {"read": {"parameters": parameters}}, cluster=SERVER, google=VERTEX)
    (made.root / "components/read/component.yaml").write_text(SPEC, encoding="utf-8")
    (made.root / "pipelines/read/pipeline.py").write_text(PIPELINE, encoding="utf-8")
    return made


@pytest.fixture
def run(project, monkeypatch, capsys):
    def go(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments, "--project", str(project.root)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, "".join(capsys.readouterr())

    return go


def _written(folder) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())


def _is_hidden_in(text: str) -> bool:
    return not any(form in text for form in [SECRET, json.dumps(SECRET)[1:-1], "p%22w", "p\\\\\\"])


def test_a_step_gets_the_secret_and_the_record_the_reference(project, run, monkeypatch):
    monkeypatch.setenv("PG_PASSWORD", SECRET)
    code, said = run("run", "read", "--env", "here", "--json")
    assert code == 0, said
    (record,) = (project.root / "runs").glob("*/run.json")
    told = json.loads(record.read_text(encoding="utf-8"))
    assert told["parameters"]["source"] == URL
    first, second = told["tasks"]
    length = len(URL) - len("${secret:PG_PASSWORD}") + len(SECRET)
    assert first["output_parameters"]["told"] == f"{length} {URL}"
    assert first["output_parameters"]["facts"]["more"] == {"password": "${secret:PG_PASSWORD}"}
    assert second["output_parameters"]["told"] == f"{length + 2} {URL}?x"
    assert second["output_parameters"]["facts"]["more"] == {"from": URL}
    assert _is_hidden_in(said)
    assert _is_hidden_in(_written(project.root / "runs"))
    log = record.parent / first["attempts"][0]["log"]
    assert "postgresql://user:${secret:PG_PASSWORD}@host/db" in log.read_text(encoding="utf-8")


def test_why_a_step_failed_has_the_reference(project, run, monkeypatch):
    monkeypatch.setenv("PG_PASSWORD", SECRET)
    code, said = run("run", "read", "--env", "here", "--param", f"source={URL}-bad")
    assert code == 1
    assert f"can't connect to {URL}-bad" in said
    assert _is_hidden_in(said)
    assert _is_hidden_in(_written(project.root / "runs"))


@pytest.mark.parametrize(
    ("given", "env", "message"),
    [
        (
            URL,
            {},
            "the parameter 'source': the secret PG_PASSWORD isn't there. Set the environment variable PG_PASSWORD",
        ),
        (URL, {"PG_PASSWORD": "abc"}, "the environment variable PG_PASSWORD has fewer than 4 characters"),
        ("${secret:}", {}, "the parameter 'source': ${secret:} names no environment variable"),
        ("${secret:a-b}", {}, "${secret:a-b} names no environment variable. Write letters, digits and '_'"),
        (f"{URL}?password=hunter2", {"PG_PASSWORD": SECRET}, "a password is in the text. Leave it out"),
    ],
)
def test_a_run_whose_secret_is_not_there_does_not_start(project, run, monkeypatch, given, env, message):
    monkeypatch.delenv("PG_PASSWORD", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    code, said = run("run", "read", "--env", "here", "--param", "more={}", "--param", f"source={given}")
    assert code == 1
    assert message in said
    assert not list((project.root / "runs").glob("*/run.json"))


@pytest.mark.parametrize(
    ("environment", "remedy"),
    [("cluster", "Mount a Kubernetes Secret in the pipeline"), ("google", "Keep it in Secret Manager")],
)
def test_servers_cannot_resolve_references(project, environment, remedy):
    source = project.root / "pipelines/read/pipeline.py"
    source.write_text(PIPELINE.replace("NOTE", "${secret:NOTE}"), encoding="utf-8")
    inputs = ir.parse(compiler.compile_pipeline(project.pipeline("read")).text).spec.root.input_definitions
    place = settings.load(project.root).environment(environment)
    with pytest.raises(PipeyardError) as error:
        fit.check(place, "read", inputs, {"source": URL})
    assert "--param source: the parameter 'source' refers to ${secret:PG_PASSWORD}, which is resolved on" in str(
        error.value
    )
    assert "the parameter 'note' refers to ${secret:NOTE}" in str(error.value)  # a default of the pipeline's own
    assert f"alone, not by target {place.target}. {remedy}" in str(error.value)
    fit.check(
        settings.load(project.root).environment("here"), "read", inputs
    )  # whether it is there is the run's to say


@pytest.mark.parametrize("key", ["service_account", "host"])
def test_references_stand_in_parameters_alone(project, key):
    path = project.root / "settings.yaml"
    text = path.read_text(encoding="utf-8").replace("target: kfp", f"target: kfp\n    {key}: ${{secret:HOST}}")
    path.write_text("\n".join(text.splitlines()) + "\n", encoding="utf-8")
    with pytest.raises(PipeyardError, match=r"\$\{secret:HOST\} stands outside of parameters"):
        settings.load(project.root)


@pytest.mark.parametrize("text", [URL, "host=h password=${secret:P}", "password=${secret:P}&x=1", "${secret:P}"])
def test_a_reference_is_no_secret(text):
    assert not secrets.problems({"api_key": "${secret:P}", "source": text}, str)


@pytest.mark.parametrize(
    "text", ["x://u:a${secret:P}@h", "password=${secret:P}hunter2", "x://u:${secret:P}@h?password=x"]
)
def test_what_is_written_beside_a_reference_is_looked_at(text):
    assert secrets.problems({"source": text}, str)


def test_references_are_resolved_at_any_depth_once():
    env = {"A": "${secret:B}", "B": "other"}
    assert secret_references.resolve({"k": ["a ${secret:A}${secret:B}", 1, None]}, env) == {
        "k": ["a ${secret:B}other", 1, None]
    }
    assert secret_references.names({"k": ["${secret:A}${secret:B}${secret:A}"]}) == ["A", "B"]


@pytest.mark.parametrize("before", range(40))
def test_a_secret_is_found_wherever_blocks_of_a_log_end(tmp_path, monkeypatch, before):
    monkeypatch.setattr(hidden_secrets, "_BLOCK", 16)
    log = tmp_path / "log"
    secret, longer = "ünder-cover", "ünder-cover-agent"
    told = {"a": "${secret:A}", "b": ["${secret:B}"]}
    log.write_text(f"{'x' * before}{secret}{secret}|{longer}|{secret[:-1]}|secret", encoding="utf-8")
    HiddenSecrets(told, {"A": secret, "B": longer}).hide_in(log)
    hidden = "${secret:A}"
    assert log.read_text(encoding="utf-8") == f"{'x' * before}{hidden}{hidden}|${{secret:B}}|{secret[:-1]}|secret"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_reference_is_not_looked_at_for_secrets():
    hidden = HiddenSecrets({"a": "${secret:secret}${secret:B}"}, {"secret": "secret", "B": "secr"})
    assert hidden.hide({"secret": ["secr-et"]}) == {"${secret:secret}": ["${secret:B}-et"]}


def test_a_log_without_secrets_stays_the_file_it_is(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"\xff nothing")
    before = log.stat().st_ino
    HiddenSecrets({"a": "${secret:A}"}, {"A": "a secret"}).hide_in(log)
    HiddenSecrets({"a": "plain"}, {}).hide_in(log)
    assert log.stat().st_ino == before
