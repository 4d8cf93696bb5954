"""Each kind of mistake in `settings.yaml` is told with file, line, key, and what to do."""

import sys
from pathlib import Path

import pytest

from pipeyard import cli, settings
from pipeyard.errors import PipeyardError

RIGHT = """\
variables:
  HOST: URL of the API
defaults:
  timeout: 3h
environments:
  dev:
    target: kfp
    host: ${HOST}
    bucket: gs://packages/dev
    pipeline_root: gs://runs/dev
    registry: images.example/pipeyard
    auth: {kind: token, token_env: KFP_TOKEN}
    parameters:
      rows: 5
    pipelines:
      taxi:
        parameters: {limit: 3}
        schedule: {cron: 0 3 * * 1, timezone: Etc/UTC}
        triggers:
          - {name: new, kind: event, bucket: data, prefix: in/, parameter: source}
          - name: worse
            kind: quality
            metrics: gs://data/metrics.json
            min: {AUC: 0.7}
  vertex: {target: vertex, project: p, region: r, bucket: gs://packages, pipeline_root: gs://runs}
"""
DEV, TAXI = "environments.dev", "environments.dev.pipelines.taxi"

# What stands there, what is written instead, the line, the key, what is said of it, the fix.
MISTAKES = {
    "an unknown key": (
        "    host:",
        "    hots:",
        (8, f"{DEV}.hots", "there is no key 'hots' here", "Did you mean 'host'?"),
    ),
    "an unknown key of the file": (
        "defaults:",
        "default:",
        (3, "default", "there is no key 'default' here", "Did you mean 'defaults'?"),
    ),
    "an unknown key of the defaults": (
        "  timeout: 3h",
        "  timeuot: 3h",
        (4, "defaults.timeuot", "there is no key 'timeuot' here", "Did you mean 'timeout'?"),
    ),
    "an unknown key of a pipeline": (
        "        schedule:",
        "        schedul:",
        (18, f"{TAXI}.schedul", "there is no key 'schedul' here", "Did you mean 'schedule'?"),
    ),
    "an unknown key of auth": (
        "auth: {",
        "auth: {token_fiel: x, ",
        (12, f"{DEV}.auth.token_fiel", "there is no key 'token_fiel' here", "Did you mean 'token_file'"),
    ),
    "an unknown key of a schedule": (
        "timezone:",
        "timezon:",
        (18, f"{TAXI}.schedule.timezon", "there is no key 'timezon' here", "Did you mean 'timezone'?"),
    ),
    "an unknown key of a trigger": (
        "            metrics:",
        "            metric:",
        (23, f"{TAXI}.triggers[1].metric", "there is no key 'metric' here", "Did you mean 'metrics'?"),
    ),
    "a name, which is the key": (
        "    target: kfp",
        "    target: kfp\n    name: development",
        (8, f"{DEV}.name", "there is no key 'name' here", "The environment's key names it."),
    ),
    "a key twice": (
        "      rows: 5",
        "      rows: 5\n      rows: 6",
        (15, f"{DEV}.parameters.rows", "the key 'rows' stands twice, first in line 14", "Remove one."),
    ),
    "an environment twice": (
        "  vertex:",
        "  dev:",
        (25, DEV, "the key 'dev' stands twice, first in line 6", "Remove one."),
    ),
    "a key that isn't text": (
        "      rows: 5",
        "      2024: 5",
        (14, f"{DEV}.parameters.2024", "to YAML the key 2024 isn't text", 'Put it in quotes: "2024".'),
    ),
    "a date": (
        "      rows: 5",
        "      day: 2024-01-01",
        (14, f"{DEV}.parameters.day", "to YAML this is a timestamp", "Put it in quotes"),
    ),
    "a time of day": (
        "      rows: 5",
        "      time: 12:30",
        (14, f"{DEV}.parameters.time", "to YAML this is the number 750", "Put it in quotes"),
    ),
    "an octal number": (
        "      rows: 5",
        "      zip: 010",
        (14, f"{DEV}.parameters.zip", "to YAML this is the number 8", "Put it in quotes"),
    ),
    "a variable in a key": (
        "      rows: 5",
        "      ${HOST}: 5",
        (14, f"{DEV}.parameters.${{HOST}}", "a variable in a key", "Write the key itself"),
    ),
    "a name of an environment": (
        "  vertex:",
        "  Vertex AI:",
        (25, "environments.Vertex AI", "'Vertex AI' names no environment", "Write lower case"),
    ),
    "no finite number": (
        "      rows: 5",
        "      rows: .inf",
        (14, f"{DEV}.parameters.rows", "to YAML this is a float", "Put it in quotes"),
    ),
    "an unknown target": (
        "target: kfp",
        "target: kubeflow",
        (7, f"{DEV}.target", "target is none of 'local', 'kfp' or 'vertex'", "Write one of them."),
    ),
    "no target": (
        "    target: kfp\n",
        "",
        (6, f"{DEV}.target", "target is missing", "Set target: What runs pipelines"),
    ),
    "a target for all": (
        "  timeout: 3h",
        "  target: kfp",
        (4, "defaults.target", "target is each environment's own", "Move it into the environments."),
    ),
    "no place for runs": (
        "    pipeline_root: gs://runs/dev\n",
        "",
        (6, f"{DEV}.pipeline_root", "pipeline_root is missing", "Set pipeline_root: Where runs keep their artifacts."),
    ),
    "what the target needs": (
        "    bucket: gs://packages/dev\n",
        "",
        (6, DEV, "target kfp needs bucket", "Set it."),
    ),
    "what Vertex AI needs": (
        "project: p, region: r, ",
        "",
        (25, "environments.vertex", "target vertex needs project and region", "Set them."),
    ),
    "Vertex AI with a local folder": (
        "pipeline_root: gs://runs}",
        "pipeline_root: /runs}",
        (
            25,
            "environments.vertex",
            "target vertex needs a pipeline_root in Cloud Storage",
            "Write gs://BUCKET/PREFIX.",
        ),
    ),
    "a host that is no URL": (
        "${HOST}",
        "kfp.example",
        (8, f"{DEV}.host", "this doesn't fit", "Write a URL such as https://HOST"),
    ),
    "a bucket that is no URI": (
        "gs://packages/dev",
        "packages",
        (9, f"{DEV}.bucket", "this doesn't fit", "Write gs://BUCKET or gs://BUCKET/PREFIX."),
    ),
    "a registry with a scheme": (
        "images.example/pipeyard",
        "https://images.example/pipeyard",
        (11, f"{DEV}.registry", "this doesn't fit", "Write HOST/PATH"),
    ),
    "a length of time": (
        "timeout: 3h",
        "timeout: 3 hours",
        (4, "defaults.timeout", "this is no length of time", "Write seconds, or such as 90s, 15m, 6h"),
    ),
    "an approval": (
        "    target: kfp",
        "    target: kfp\n    approval: maybe",
        (8, f"{DEV}.approval", "approval is none of 'none' or 'required'", "Write one of them."),
    ),
    "text where a mapping belongs": (
        "    parameters:\n      rows: 5",
        "    parameters: rows",
        (13, f"{DEV}.parameters", "this has the wrong type", "Write a mapping: lines of `name: value`, indented."),
    ),
    "a mapping where a list belongs": (
        "        triggers:\n          - {name: new, kind: event, bucket: data, prefix: in/, parameter: source}\n"
        "          - name: worse\n            kind: quality\n            metrics: gs://data/metrics.json\n"
        "            min: {AUC: 0.7}\n",
        "        triggers: {name: new}\n",
        (19, f"{TAXI}.triggers", "this has the wrong type", "Write a list: lines of `- item`, indented."),
    ),
    "what YAML takes for a truth value": (
        "    target: kfp",
        "    target: kfp\n    experiment: no",
        (8, f"{DEV}.experiment", "this has the wrong type", "Write text; put it in quotes."),
    ),
    "an environment without keys": (
        "  vertex: {target: vertex, project: p, region: r, bucket: gs://packages, pipeline_root: gs://runs}",
        "  vertex:",
        (25, "environments.vertex", "an environment is a mapping", "Write its keys below it."),
    ),
    "no environments": (
        "environments:",
        "environment:",
        (1, "", "environments is missing", "Set environments: name of each place"),
    ),
    "too few fields of cron": (
        "cron: 0 3 * *",
        "cron: 0 3 *",
        (18, f"{TAXI}.schedule.cron", "4 fields", "Write five as crontab has them"),
    ),
    "Kubeflow's six fields of cron": (
        "cron: 0 3 * *",
        "cron: 0 0 3 * *",
        (18, f"{TAXI}.schedule.cron", "6 fields", "day of week, without seconds."),
    ),
    "a time zone in cron": (
        "cron: 0 3 * * 1",
        "cron: TZ=America/New_York 0 3 * * 1",
        (18, f"{TAXI}.schedule.cron", "TZ= is no field", "Leave it out, and write timezone: America/New_York."),
    ),
    "a time zone in cron as crontabs have it": (
        "cron: 0 3 * * 1",
        "cron: CRON_TZ=UTC 0 3 * * 1",
        (18, f"{TAXI}.schedule.cron", "CRON_TZ= is no field", "Leave it out, and write timezone: UTC."),
    ),
    "a field of cron": (
        "cron: 0 3 * * 1",
        "cron: 0 30 * * 1",
        (18, f"{TAXI}.schedule.cron", "'0 30 * * 1' is no schedule", "Write one such as 0 3 * * 1."),
    ),
    "what only croniter knows": (
        "cron: 0 3 * * 1",
        "cron: 0 3 L * 1",
        (18, f"{TAXI}.schedule.cron", "what Kubeflow doesn't know", "Write numbers"),
    ),
    "a day that never comes": (
        "cron: 0 3 * * 1",
        "cron: 0 3 30 2 *",
        (18, f"{TAXI}.schedule.cron", "'0 3 30 2 *' is never due", "Write a day that the month has."),
    ),
    "a time zone": (
        "Etc/UTC",
        "Europe/Berln",
        (18, f"{TAXI}.schedule.timezone", "there is no time zone 'Europe/Berln'", "Did you mean 'Europe/Berlin'"),
    ),
    "a time zone that Kubeflow can't keep": (
        "Etc/UTC",
        "Europe/Berlin",
        (18, f"{TAXI}.schedule.timezone", "schedules have no time zone", "Write cron in UTC, and leave timezone out."),
    ),
    "a number in quotes that is none": (
        "timezone: Etc/UTC",
        "max_concurrent_runs: many",
        (18, f"{TAXI}.schedule.max_concurrent_runs", "this has the wrong type", "Write a whole number."),
    ),
    "a number that is too large": (
        "timezone: Etc/UTC",
        "max_concurrent_runs: 11",
        (18, f"{TAXI}.schedule.max_concurrent_runs", "this doesn't fit", "Input should be less than or equal to 10."),
    ),
    "a trigger without kind": (
        "kind: event, ",
        "",
        (20, f"{TAXI}.triggers[0]", "a trigger without kind", "Set kind to one of event, drift, quality, completion."),
    ),
    "an unknown kind of trigger": (
        "kind: event",
        "kind: events",
        (20, f"{TAXI}.triggers[0]", "there is no trigger of kind 'events'", "Did you mean 'event'?"),
    ),
    "what a trigger needs": (
        ", parameter: source",
        "",
        (20, f"{TAXI}.triggers[0].parameter", "parameter is missing", "Set parameter: The pipeline's parameter"),
    ),
    "a URI where a bucket's name belongs": (
        "bucket: data,",
        "bucket: gs://data,",
        (20, f"{TAXI}.triggers[0].bucket", "this doesn't fit", "Write the bucket's name alone"),
    ),
    "a trigger without bounds": (
        "            min: {AUC: 0.7}\n",
        "",
        (21, f"{TAXI}.triggers[1]", "it has no bound", "Set min, max or max_drop"),
    ),
    "a bound for a change, and nothing that it would be of": (
        "min: {AUC: 0.7}",
        "max_drop: {AUC: 0.1}",
        (21, f"{TAXI}.triggers[1]", "kfp doesn't tell where a run's artifacts are", "Set baseline: the served model's"),
    ),
    "a drift from nothing": (
        "            kind: quality\n            metrics: gs://data/metrics.json\n            min: {AUC: 0.7}\n",
        "            kind: drift\n            statistics: gs://data/statistics\n            max_distance: 0.2\n",
        (21, f"{TAXI}.triggers[1]", "there is nothing to compare with", "is the pipeline's serving_uri/model_name."),
    ),
    "two triggers of one name": (
        "name: worse",
        "name: new",
        (16, TAXI, "two triggers are named 'new', so that their state would be one", "Rename one."),
    ),
    "a variable that isn't declared": (
        "${HOST}",
        "${HOTS}",
        (8, f"{DEV}.host", "the variable 'HOTS' isn't declared", "Did you mean 'HOST'?"),
    ),
    "a variable with a default, as a shell has it": (
        "${HOST}",
        "${HOST:-x}",
        (8, f"{DEV}.host", "the variable 'HOST:-x' isn't declared", "Or declare it under variables."),
    ),
    "a declared PROJECT_ROOT": (
        "  HOST: URL",
        "  PROJECT_ROOT: folder\n  HOST: URL",
        (2, "variables.PROJECT_ROOT", "'PROJECT_ROOT' can't be declared", "It is always there."),
    ),
    "a variable's name": (
        "  HOST: URL",
        "  my-host: x\n  HOST: URL",
        (2, "variables.my-host", "'my-host' can't be declared", "Write capital letters, digits and _"),
    ),
    "a variable without a meaning": (
        "HOST: URL of the API",
        "HOST:",
        (2, "variables.HOST", "it isn't told what the variable is", "Write HOST: what it is."),
    ),
    "a secret among the variables": (
        "  HOST: URL",
        "  API_TOKEN: of the API\n  HOST: URL",
        (2, "variables.API_TOKEN", "API_TOKEN is a secret by its name", "token_env: API_TOKEN"),
    ),
    "no way to get the token": (
        ", token_env: KFP_TOKEN",
        "",
        (12, f"{DEV}.auth", "kind token takes exactly one of token_env and token_file", "Set one"),
    ),
    "a key of another kind of auth": (
        "kind: token",
        "kind: none",
        (12, f"{DEV}.auth", "token_env belongs to kind token, this is kind none", "Change one of them."),
    ),
    "IAP without its client": (
        "{kind: token, token_env: KFP_TOKEN}",
        "{kind: iap}",
        (12, f"{DEV}.auth", "kind iap and iap_client_id go together", "Set both or neither."),
    ),
}


def _load(tmp_path: Path, text: str, **variables: str) -> settings.Settings:
    (tmp_path / settings.FILE).write_text(text, encoding="utf-8")
    return settings.load(tmp_path, {"HOST": "https://kfp.example"} | variables)


def test_without_a_mistake_nothing_is_said(tmp_path):
    assert _load(tmp_path, RIGHT).environment("dev").triggers_of("taxi")[1].min == {"AUC": 0.7}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_line_key_and_fix(tmp_path, mistake):
    old, new, (line, key, problem, fix) = MISTAKES[mistake]
    assert old in RIGHT
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, RIGHT.replace(old, new, 1))
    place = f"settings.yaml:{line}: {key}: " if key else f"settings.yaml:{line}: "
    told = [each for each in str(error.value).splitlines() if each.startswith(place) and problem in each]
    assert told, str(error.value)
    assert fix in told[0].partition(problem)[2]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("environments: [", 1, "this isn't valid YAML"),
        ("environments:\n  a: {b: c\n", 3, "this isn't valid YAML"),
        ("environments:\n\ta: 1\n", 2, "this isn't valid YAML"),
        ("environments:\n  a: 1\n b: 2\n", 3, "Mend that line or the one before"),
        ("cron: * * * * *\n", 1, "Put text that starts with * in quotes"),
        ("a: {b: ${HOST}}\n", 1, "Put text with ${...} in quotes where it stands between { and }"),
        ("environments: {}\n---\nenvironments: {}\n", 2, "this isn't valid YAML"),
        ("environments: !!python/object:os.system {}\n", 1, "the tag python/object:os.system isn't known here"),
        ("a: !!python/name:os.system\n", 1, "this isn't valid YAML"),
        ("environments: &a\n  a: *a\n", 2, "the alias *a makes the document grow without end"),
        ("", 1, "this isn't a valid file: it has no mapping"),
        ("[a]", 1, "this isn't a valid file: it has no mapping"),
        ("environments: dev\n", 1, "environments is a mapping"),
    ],
)
def test_what_is_no_settings_file_at_all_is_told_with_its_line(tmp_path, text, line, message):
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, text)
    assert f"{settings.FILE}:{line}: " in str(error.value)
    assert message in str(error.value)


def test_aliases_of_aliases_that_grow_without_end_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(PipeyardError, match="grow without end"):
        _load(tmp_path, "\n".join(lines))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / settings.FILE).write_bytes(b"a: \xff\xfe")
    with pytest.raises(PipeyardError, match="Save it as UTF-8"):
        settings.load(tmp_path)


def test_all_mistakes_are_told_at_once_each_once(tmp_path):
    text = RIGHT.replace("timeout: 3h", "timeout: soon").replace("kind: event", "kind: events")
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, text.replace("target: vertex", "target: vortex"))
    lines = [each.split(":")[1] for each in str(error.value).splitlines()]
    assert lines == ["4", "20", "25"]  # the defaults are in both environments


def test_an_entry_for_a_pipeline_that_the_project_does_not_have_hinders_no_other(tmp_path, caplog):
    (tmp_path / "pipelines/taxis").mkdir(parents=True)
    (tmp_path / "pipelines/taxis/pipeline.py").write_text("", encoding="utf-8")
    loaded = _load(tmp_path, RIGHT)
    told = f"settings.yaml:16: {TAXI}: there is no pipeline 'taxi'. Did you mean 'taxis'?"
    assert [each.startswith(f"warning: {told}") for each in caplog.messages] == [True]
    assert loaded.environment("dev").chosen(["taxis", "taxi"]) == ["taxi"]
    assert loaded.environment("dev").chosen(["taxis"]) == []  # and not all that there are
    with pytest.raises(PipeyardError) as error:
        loaded.check()
    assert str(error.value).startswith(told)


def test_pipeyard_settings_ends_with_1_for_an_entry_for_no_pipeline(tmp_path, monkeypatch, capsys):
    (tmp_path / "pipelines/taxis").mkdir(parents=True)
    (tmp_path / "components").mkdir()
    (tmp_path / "pipelines/taxis/pipeline.py").write_text("", encoding="utf-8")
    (tmp_path / "settings.yaml").write_text(RIGHT, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["pipeyard", "settings", "--project", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code, "there is no pipeline 'taxi'" in capsys.readouterr().err) == (1, True)


def test_a_pipeline_that_the_project_does_not_have_is_told_with_what_is_refused(tmp_path):
    (tmp_path / "pipelines/taxis").mkdir(parents=True)
    (tmp_path / "pipelines/taxis/pipeline.py").write_text("", encoding="utf-8")
    event = "{name: new, kind: event, bucket: data, prefix: in/, parameter: source}"
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, RIGHT.replace(event, "{name: new, kind: completion, pipeline: taxy}"))
    pipeline, trigger = str(error.value).splitlines()
    assert pipeline.startswith(f"settings.yaml:16: {TAXI}: there is no pipeline 'taxi'. Did you mean 'taxis'?")
    assert trigger.startswith(f"settings.yaml:20: {TAXI}.triggers[0].pipeline: there is no pipeline 'taxy'. Did you")


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ("db_password: hunter2", "db_password is a secret by its name, and its value stands in the file"),
        ("api_key: hunter2", "api_key is a secret by its name"),
        ("nested: {deep: [{token: hunter2-hunter2-hunter2}]}", "token is a secret by its name"),
        ("db: postgresql://user:hunter2@host/db", "a password is in the URL"),
        ("text: AKIAHUNTER2HUNTER2AB", "this looks like a key or token"),
        ("text: '-----BEGIN PRIVATE KEY-----hunter2'", "this looks like a key or token"),
        ("text: ghp_hunter2hunter2hunter2hunter2hunter2", "this looks like a key or token"),
        ("password: ${HOST}", "password is a secret by its name"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(tmp_path, parameter, problem):
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, RIGHT.replace("rows: 5", parameter))
    assert f"settings.yaml:14: {DEV}.parameters." in str(error.value)
    assert problem in str(error.value)
    assert "hunter2" not in str(error.value).lower()


def test_a_secret_that_a_variable_brings_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, RIGHT, HOST="https://me:hunter2@kfp.example").environment("dev")
    assert "settings.yaml:8: environments.dev.host: as ${HOST} is set, a password is in the URL" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_token_in_place_of_the_name_of_its_variable_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, RIGHT.replace("KFP_TOKEN", "hunter2.hunter2"))
    assert "auth.token_env: this doesn't fit. Write the name of an environment variable" in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "parameter",
    [
        "api_key: projects/p/secrets/key/versions/latest",
        "token_file: /var/run/token",
        "unknown_token: '[UNK]'",
        "password: /var/run/password",
        "tokens: 5",
        "secret_name: kfp",
        "db: postgresql://user@host/db",
    ],
)
def test_what_only_names_a_secret_is_taken(tmp_path, parameter):
    assert _load(tmp_path, RIGHT.replace("rows: 5", parameter)).environment("dev")


COMPLETION = """\
environments:
  dev: &dev
    target: local
    pipeline_root: r
    pipelines:
      one:
        triggers: [{name: a, kind: completion, pipeline: two}]
      two:
        triggers:
          - {name: b, kind: completion, pipeline: three, environment: dev}
          - {name: c, kind: completion, pipeline: four, environment: dve}
"""


def test_the_completion_of_a_run_in_no_environment_is_told(tmp_path):
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, COMPLETION)
    assert str(error.value).startswith(
        "settings.yaml:11: environments.dev.pipelines.two.triggers[1].environment: there is no environment 'dve'. "
        "Did you mean 'dev'?"
    )


def test_pipelines_that_would_start_each_other_for_ever_are_refused(tmp_path):
    text = COMPLETION.replace("pipeline: three", "pipeline: one").replace("dve", "dev")
    with pytest.raises(PipeyardError) as error:
        _load(tmp_path, text)
    assert str(error.value).splitlines() == [
        "settings.yaml:7: environments.dev.pipelines.one.triggers[0]: runs would start each other for ever: "
        "dev/one starts dev/two starts dev/one. Take one of these triggers away.",
        "settings.yaml:10: environments.dev.pipelines.two.triggers[0]: runs would start each other for ever: "
        "dev/two starts dev/one starts dev/two. Take one of these triggers away.",
    ]
    with pytest.raises(PipeyardError, match="for ever: dev/one starts dev/one"):
        _load(tmp_path, COMPLETION.replace("pipeline: two", "pipeline: one").replace("dve", "dev"))


def test_runs_that_start_one_after_the_other_are_taken(tmp_path):
    assert _load(tmp_path, COMPLETION.replace("dve", "dev")).environment("dev")
