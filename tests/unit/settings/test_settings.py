"""`settings.yaml`: what is in force, where it comes from, and the command that shows it."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from pipeyard import ir, settings
from pipeyard.checks import generated
from pipeyard.compiling import compiler
from pipeyard.errors import PipeyardError
from pipeyard.repository import project
from pipeyard.settings import durations, fit, schema

ROOT = Path(__file__).parents[3]
PIPEYARD = Path(sys.executable).with_name("pipeyard")
# For what settings.yaml declares.
SET = {
    name: f"https://{name.lower().replace('_', '-')}.example"
    if name.endswith(("HOST", "URL"))
    else name.lower().replace("_", "-")
    for name in yaml.safe_load((ROOT / settings.FILE).read_text(encoding="utf-8"))["variables"]
}
TWO = """\
variables:
  HOST: URL of the API
defaults:
  timeout: 90m
  experiment: nightly
  parameters: {rows: 5, names: [a, b]}
  pipelines:
    taxi:
      parameters: {limits: {AUC: 0.7, loss: 1}}
      schedule: {cron: 0 3 * * 1}
environments:
  one:
    target: local
    pipeline_root: ${PROJECT_ROOT}/runs
    parameters: {rows: 6}
    pipelines:
      taxi:
        parameters: {limits: {AUC: 0.8}}
        schedule: {enabled: false}
  two:
    target: kfp
    host: ${HOST}
    bucket: gs://packages
    pipeline_root: gs://runs
    experiment: ""
"""


def _load(tmp_path: Path, text: str, **variables: str) -> settings.Settings:
    (tmp_path / settings.FILE).write_text(text, encoding="utf-8")
    return settings.load(tmp_path, variables)


def _pipeyard(*args: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(PIPEYARD), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **variables},
    )


def test_the_project_s_own_settings_load_with_nothing_set():
    loaded = settings.load(ROOT, {})
    local = loaded.environment("local")
    assert local.pipeline_root == f"{ROOT}/runs"
    assert local.pipelines["chicago_taxi"].parameters["source"].startswith(f"{ROOT}/pipelines")
    assert {"local", "check", "dev", "test", "staging", "production"} <= set(loaded.names)


@pytest.mark.parametrize("name", settings.load(ROOT, {}).names)
def test_each_of_the_project_s_environments_is_whole_once_its_variables_are_set(name):
    assert settings.load(ROOT, SET).environment(name).name == name


def test_production_is_not_deployed_to_without_approval():
    loaded = settings.load(ROOT, SET)
    assert loaded.environment("production").approval == "required"
    assert loaded.environment("dev").approval == "none"


def test_an_environment_has_the_defaults_and_its_own_over_them(tmp_path):
    loaded = _load(tmp_path, TWO, HOST="https://kfp.example")
    one, two = map(loaded.environment, ("one", "two"))
    assert (one.timeout, one.experiment, two.experiment) == (5400, "nightly", "")
    # Parameters are taken by name, but each whole: half a threshold of another environment is nobody's wish.
    declared = {"rows", "names", "limits"}
    assert one.parameters_of("taxi", declared) == {"rows": 6, "names": ["a", "b"], "limits": {"AUC": 0.8}}
    assert two.parameters_of("taxi", {"rows"})["limits"] == {"AUC": 0.7, "loss": 1}
    assert one.parameters_of("other", {"rows"}) == {"rows": 6}
    assert (one.schedule_of("taxi").cron, one.schedule_of("taxi").enabled) == ("0 3 * * 1", False)
    assert two.schedule_of("taxi").enabled
    assert two.schedule_of("other") is None


def test_an_environment_can_do_without_a_schedule_of_the_defaults(tmp_path):
    text = TWO.replace("schedule: {enabled: false}", "schedule: null")
    assert _load(tmp_path, text).environment("one").schedule_of("taxi") is None


def test_environments_can_share_by_merge_keys(tmp_path):
    text = "environments:\n  a: &a {target: local, pipeline_root: one}\n  b:\n    <<: *a\n    pipeline_root: two\n"
    loaded = _load(tmp_path, text)
    assert [loaded.environment(name).pipeline_root for name in "ab"] == ["one", "two"]
    assert loaded.environment("b").where("target") == "settings.yaml:2"
    assert loaded.environment("b").where("pipeline_root") == "settings.yaml:5"


def test_an_alias_of_what_merges_another_is_no_key_that_stands_twice(tmp_path):
    text = (
        "environments:\n  a: &a {target: local, pipeline_root: one}\n"
        "  b: &b {<<: *a, pipeline_root: two}\n  c: *b\n  d: {<<: *b}\n"
    )
    loaded = _load(tmp_path, text)
    assert [loaded.environment(name).pipeline_root for name in "bcd"] == ["two"] * 3


def test_a_variable_that_is_not_set_is_an_error_only_of_the_environment_that_uses_it(tmp_path):
    loaded = _load(tmp_path, TWO, HOST="")  # as a substitution of CI that isn't there
    assert loaded.environment("one")
    assert loaded.unset("two") == ["HOST"]
    with pytest.raises(PipeyardError) as error:
        loaded.environment("two")
    assert str(error.value) == (
        "settings.yaml:22: environments.two.host: the variable HOST isn't set, or is empty (URL of the API). "
        "Set it: export HOST=..."
    )


def test_what_is_wrong_beside_a_variable_that_is_not_set_is_told_all_the_same(tmp_path):
    with pytest.raises(PipeyardError, match="settings.yaml:23: environments.two.bucket: this doesn't fit. Write gs://"):
        _load(tmp_path, TWO.replace("gs://packages", "packages"))


def test_a_variable_that_does_not_fit_is_an_error_only_of_the_environment_that_uses_it(tmp_path):
    loaded = _load(tmp_path, TWO, HOST="kfp.example")
    assert loaded.environment("one")
    with pytest.raises(PipeyardError) as error:
        loaded.environment("two")
    assert str(error.value).startswith(
        "settings.yaml:22: environments.two.host: as ${HOST} is set, this doesn't fit. Write a URL such as"
    )


def test_two_dollars_keep_a_variable_from_being_put_in(tmp_path):
    text = "environments: {a: {target: local, pipeline_root: r, parameters: {query: '$${day} ${PROJECT_ROOT}'}}}"
    assert _load(tmp_path, text).environment("a").parameters == {"query": f"${{day}} {tmp_path}"}


def test_a_variable_can_be_a_number_or_a_truth_value(tmp_path):
    text = TWO.replace("timeout: 90m", "timeout: ${MINUTES}m").replace("  HOST:", "  MINUTES: m\n  ENABLED: e\n  HOST:")
    text = text.replace("enabled: false", "enabled: '${ENABLED}'")
    one = _load(tmp_path, text, MINUTES="7", ENABLED="false").environment("one")
    assert (one.timeout, one.schedule_of("taxi").enabled) == (420, False)


def test_each_value_tells_where_it_came_from(tmp_path):
    one = _load(tmp_path, TWO).environment("one")
    found = {each.key: (each.value, each.where, each.layer) for each in settings.provenance(one)}
    assert found["timeout"] == (5400, "settings.yaml:4", "defaults")
    assert found["target"] == ("local", "settings.yaml:13", "one")
    assert found["approval"] == ("none", "", "built in")
    assert found["parameters.rows"] == (6, "settings.yaml:15", "one")
    assert found["parameters.names"] == (["a", "b"], "settings.yaml:6", "defaults")
    assert found["pipelines.taxi.parameters.limits"] == ({"AUC": 0.8}, "settings.yaml:18", "one, pipeline taxi")
    assert found["pipelines.taxi.schedule.cron"] == ("0 3 * * 1", "settings.yaml:10", "defaults, pipeline taxi")
    assert found["pipelines.taxi.schedule.enabled"] == (False, "settings.yaml:19", "one, pipeline taxi")
    assert found["pipelines.taxi.schedule.timezone"] == ("UTC", "", "built in")


def test_of_one_pipeline_only_what_is_in_force_for_it_is_told(tmp_path):
    one = _load(tmp_path, TWO).environment("one")
    found = {each.key: each.layer for each in settings.provenance(one, "taxi")}
    assert found["parameters.limits"] == "one, pipeline taxi"
    assert found["experiment"] == "defaults"
    assert found["schedule.enabled"] == "one, pipeline taxi"
    assert not [key for key in found if key.startswith("pipelines")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(90, 90), ("90", 90), ("15m", 900), ("6h", 21600), ("1h30m", 5400), ("2d", 172800), ("0.5s", 0.5)],
)
def test_lengths_of_time_are_read_and_written(text, seconds):
    assert durations.seconds(text) == seconds
    assert durations.seconds(durations.as_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "6 h", "soon", "-1", -1, True, None, float("inf"), "1h1d"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ValueError, match="length of time"):
        durations.seconds(text)


def test_an_unknown_environment_names_near_misses(tmp_path):
    loaded = _load(tmp_path, "environments: {local: {target: local, pipeline_root: r}}")
    with pytest.raises(PipeyardError, match="no environment 'locl'. Did you mean 'local'"):
        loaded.environment("locl")


def test_without_the_file_it_says_which(tmp_path):
    with pytest.raises(PipeyardError, match="settings.yaml is missing"):
        settings.load(tmp_path)


def test_an_environment_made_without_a_file_is_as_good():
    made = settings.Environment(name="a", target="local", pipeline_root="r")
    assert made.where("parameters", "rows") == settings.FILE
    assert {each.layer for each in settings.provenance(made)} == {"built in"}


def test_the_schema_in_the_repository_is_the_model_s():
    assert schema.is_current(ROOT), "run `pipeyard settings --schema`"


def test_the_schema_takes_the_project_s_settings_and_refuses_what_the_model_does():
    checked = jsonschema.Draft202012Validator(schema.schema())
    checked.check_schema(schema.schema())
    content = yaml.safe_load((ROOT / settings.FILE).read_text(encoding="utf-8"))
    assert not list(checked.iter_errors(content))
    for key, value in [
        ("taget", "kfp"),
        ("target", "moon"),
        ("timeout", "soon"),
        ("bucket", "packages"),
        ("name", "dev"),
    ]:
        wrong = json.loads(json.dumps(content))
        wrong["environments"]["dev"][key] = value
        assert list(checked.iter_errors(wrong)), key
    wrong = json.loads(json.dumps(content))
    wrong["environments"]["production"]["pipelines"]["chicago_taxi"]["triggers"][0]["quorom"] = 2
    assert list(checked.iter_errors(wrong))


def test_the_command_writes_and_checks_the_schema(tmp_path):
    for folder in ("components", "pipelines", "build"):
        (tmp_path / folder).mkdir()
    assert _pipeyard("settings", "--check-schema", cwd=tmp_path).returncode == 1
    assert _pipeyard("settings", "--schema", cwd=tmp_path).returncode == 0
    assert _pipeyard("settings", "--check-schema", cwd=tmp_path).returncode == 0
    (tmp_path / schema.PATH).write_text("{}", encoding="utf-8")
    done = _pipeyard("settings", "--check-schema", cwd=tmp_path)
    assert done.returncode == 1
    assert "Run `pipeyard settings --schema`" in done.stderr


def test_a_stale_schema_is_told_or_rewritten(tmp_path):
    assert not list(generated.stale_schema(project.Project(tmp_path), False))  # a project without one
    (tmp_path / schema.PATH).parent.mkdir()
    (tmp_path / schema.PATH).write_text("{}", encoding="utf-8")
    (found,) = generated.stale_schema(project.Project(tmp_path), False)
    assert str(found) == "build/settings.schema.json: it isn't what the model of settings.yaml says. Run with --fix."
    assert not list(generated.stale_schema(project.Project(tmp_path), True))
    assert schema.is_current(tmp_path)


def test_the_command_lists_environments_and_what_they_lack():
    listed = json.loads(_pipeyard("settings", "--json").stdout)["environments"]
    found = {each["name"]: each for each in listed}
    assert found["local"] == {"name": "local", "target": "local", "unset": []}
    assert "KFP_DEV_HOST" in found["dev"]["unset"]
    assert _pipeyard("settings").stdout.splitlines()[0].split() == ["local", "local"]


def test_the_command_shows_what_is_in_force_for_a_pipeline_and_where_it_came_from():
    done = _pipeyard("settings", "--env", "check", "--pipeline", "chicago_taxi", "--json")
    assert done.returncode == 0, done.stderr
    found = {each["key"]: each for each in json.loads(done.stdout)["values"]}
    assert found["parameters.epochs"]["value"] == 1
    assert found["parameters.epochs"]["layer"] == "check, pipeline chicago_taxi"
    assert found["parameters.tune_trials"] == {
        "key": "parameters.tune_trials",
        "value": 0,
        "where": "",
        "layer": "pipeline.py",
    }
    shown = _pipeyard("settings", "--env", "check", "--pipeline", "chicago_taxi").stdout
    assert f"{found['parameters.epochs']['where']} (check, pipeline chicago_taxi)" in shown


def test_the_command_never_shows_what_a_named_secret_holds():
    done = _pipeyard("settings", "--env", "production", "--json", KFP_TOKEN="hush", **SET)
    assert done.returncode == 0, done.stderr
    assert "hush" not in done.stdout


def test_the_project_s_parameters_fit_its_pipelines_in_every_environment():
    texts = {name: compiler.compile_pipeline(folder).text for name, folder in project.find(ROOT).pipelines.items()}
    compiled = {name: ir.parse(text) for name, text in texts.items()}
    loaded = settings.load(ROOT, SET)
    for place in map(loaded.environment, loaded.names):
        for name in place.pipelines:
            fit.check(place, name, compiled[name].spec.root.input_definitions)
            fit.retries(place, name, texts[name])
        assert not fit.unused(place, compiled)


def test_the_command_checks_the_parameters_of_all_pipelines(tmp_path):
    (tmp_path / "components").mkdir()
    (tmp_path / "pipelines/one").mkdir(parents=True)
    (tmp_path / "pipelines/one/pipeline.py").write_text(
        "from kfp import dsl\n@dsl.component\ndef show(text: str): print(text)\n"
        "@dsl.pipeline\ndef one(text: str):\n    show(text=text)\n",
        encoding="utf-8",
    )
    text = "environments:\n  a:\n    target: local\n    pipeline_root: r\n    parameters:\n      text: hello\n"
    (tmp_path / settings.FILE).write_text(text, encoding="utf-8")
    done = _pipeyard("settings", "--env", "a", "--check", cwd=tmp_path)
    assert (done.returncode, "the parameters of one fit" in done.stderr) == (0, True), done.stderr
    (tmp_path / settings.FILE).write_text(text.replace("text:", "txet:"), encoding="utf-8")
    done = _pipeyard("settings", "--env", "a", "--check", cwd=tmp_path)
    assert done.returncode == 1
    assert "the parameter 'text' has no value" in done.stderr
    assert "settings.yaml:6: no pipeline has a parameter 'txet'. Did you mean 'text'?" in done.stderr
    assert done.stdout == ""


def test_a_pipeline_needs_an_environment():
    done = _pipeyard("settings", "--pipeline", "flights")
    assert done.returncode == 2
    assert "--env NAME" in done.stderr


def test_what_the_page_tells_to_run_runs():
    commands = [each.partition("#")[0].split() for each in _block("sh").splitlines()]
    assert commands
    for program, *args in commands:
        assert program == ".venv/bin/pipeyard"
        done = _pipeyard(*args)
        assert done.returncode == 0, done.stderr


def test_the_example_on_the_page_is_right(tmp_path):
    loaded = _load(tmp_path, _block("yaml"), KFP_DEV_HOST="https://kfp.example", PIPELINE_BUCKET="bucket")
    assert loaded.environment("dev").triggers_of("chicago_taxi")[0].cool_down == 6 * 3600


def test_the_page_has_every_key_of_an_environment_and_of_a_pipeline():
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    for model in (settings.Environment, settings.PipelineSettings, settings.Schedule):
        assert not [name for name in dict(model.model_fields) if name != "name" and f"`{name}`" not in page], model


def _block(language: str) -> str:
    """Returns the first code block of a language on the page."""
    return (ROOT / "docs/settings.md").read_text(encoding="utf-8").split(f"```{language}\n")[1].split("```")[0]
