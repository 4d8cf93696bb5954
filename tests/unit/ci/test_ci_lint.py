"""What is found in builds and triggers before Cloud Build finds it."""

from pathlib import Path

import pytest

from pipeyard.ci import cloudbuild_rules, documents
from pipeyard.errors import PipeyardError

GOOD = """\
steps:
- id: one
  name: python:3.11
  env: [TAG=$_TAG]
  script: |
    set -eu
    echo "$TAG"
- id: two
  name: python:3.11
  waitFor: [one]
  args: [echo, '$$HOME ${PROJECT_ID}']
  secretEnv: [TOKEN]
  timeout: 60s
timeout: 600s
substitutions: {_TAG: a}
availableSecrets:
  secretManager: [{versionName: projects/p/secrets/t/versions/1, env: TOKEN}]
"""


def _found(text: str, triggered: bool = False) -> list[str]:
    return [
        str(each) for each in cloudbuild_rules.check_build(documents.parse(text, Path("cloudbuild.yaml")), triggered)
    ]


def test_a_build_in_order_has_nothing_to_mend():
    assert _found(GOOD) == []


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("  waitFor: [one]", "  waitfor: [one]", "cloudbuild.yaml:10: Cloud Build knows no field 'waitfor'"),
        ("  waitFor: [one]", "  waitfor: [one]", "Did you mean 'waitFor'?"),
        ("  waitFor: [one]", "  wait_for: [gone]", "cloudbuild.yaml:10: 'wait_for' is 'waitFor' in Cloud Build's"),
        ("  secretEnv", "  secret_env", "Write secretEnv."),
        ("timeout: 600s", "timeout: 600", "cloudbuild.yaml:14: "),
        ("[echo, '$$HOME ${PROJECT_ID}']", "[echo, 3]", "steps"),
        ("[one]", "[oen]", "cloudbuild.yaml:10: it waits for 'oen', which no step is called. Did you mean 'one'?"),
        ("[one]", "[two]", "steps wait for each other: two -> two"),
        ("[one]", "['-', one]", "waitFor has '-' beside steps"),
        ("- id: two", "- id: one", "two steps are called 'one'"),
        ("  name: python:3.11\n  env", "  env", "step 'one' has no `name`"),
        ("  timeout: 60s", "  timeout: 60s\n  script: 'true'", "has a script beside args or entrypoint"),
        (
            "    set -eu\n    echo",
            "    cd /\n    echo",
            "goes on after a command that fails. Begin it with `set -eu`",
        ),
        ("  timeout: 60s", "  timeout: 700s", "may take 700 s, but the whole build 600 s"),
        ("timeout: 600s", "timeout: 90000s", "24 hours are the most"),
        ("  timeout: 60s", "  dir: ../other", "../other isn't in /workspace"),
        ("{_TAG: a}", "{_TAG: a, _TOG: b}", "_TOG is used nowhere"),
        ("{_TAG: a}", "{}", "$_TAG isn't declared"),
        ("{_TAG: a}", "{_TOG: a}", "$_TAG isn't declared. Did you mean '_TOG'?"),
        ("{_TAG: a}", "{_TAG: a, TAG: b}", "'TAG' is no name of a substitution. Write _ and capitals"),
        ("{_TAG: a}", "{_TAG: a, COMMIT_SHA: b}", "COMMIT_SHA is Cloud Build's own"),
        ("  timeout: 60s", "  timeout: 1:30", "cloudbuild.yaml:13: to YAML 1.1, which gcloud reads, 1:30 is 90"),
        ("echo,", "no,", "cloudbuild.yaml:11: to YAML 1.1, which gcloud reads, no is false"),
        ("{_TAG: a}", "{_TAG: 012}", "012 is 10, and to others it isn't. Put it in quotes, or write 10"),
        ("{_TAG: a}", "{_TAG: 1_000}", "1_000 is 1000"),
        ("$$HOME", "$HOME", "$HOME is no substitution. Write $$"),
        ("$$HOME", "${_TAG:-latest}", "${_TAG:-latest} is an operation of Bash's, which Cloud Build doesn't know"),
        ("$$HOME", "${_TAG:-$(git rev-parse HEAD)}", "Hand the value to a script by `env`, and do it there"),
        ("$$HOME", "${_TAG%x}", "${_TAG%x} is an operation of Bash's"),
        ("$$HOME", "${#_TAG}", "${#_TAG} is an operation of Bash's"),
        ("$$HOME", "{_TAG}", "{_TAG} is taken as it stands. Write ${_TAG}"),
        ("$$HOME", "image:$COMMIT_SHA", "has an empty tag when no trigger starts the build"),
        ("$$HOME", "image:${TAG_NAME}", "has an empty tag when no trigger starts the build"),
        ("$$HOME", "$TOKEN", "$TOKEN is read as a substitution. Write $$TOKEN"),
        (
            "[TOKEN]",
            "[TOKEM]",
            "the secret TOKEM comes from nowhere. Name its version in availableSecrets. Did",
        ),
        ("[TOKEN]", "[]", "no step uses the secret TOKEN"),
        ("[TAG=$_TAG]", "[TAG, X=$_TAG]", "'TAG' isn't KEY=VALUE"),
        ('"$TAG"', '"$TAG $_TAG"', "$_TAG is empty in a script: scripts get no substitutions. Hand it over"),
        ("  secretEnv: [TOKEN]", "  secretEnv: [TOKEN]\n  env: [TOKEN=a]", "TOKEN is a secret and a plain variable"),
        ("timeout: 600s", "images: [a]\nimages: [b]", "the key 'images' stands twice, first on line 14"),
        ("echo,", "git, clone, 'git clone https://host/x',", "clones the default branch"),
        ("  timeout: 60s", "  volumes: [{name: v, path: /v}]", "only one step has the volume 'v'"),
        ("  timeout: 60s", "  volumes: [{name: v, path: /workspace/v}]", "a volume can't be at '/workspace/v'"),
    ],
)
def test_each_mistake_is_told_with_its_line_and_fix(was, now, told):
    assert was in GOOD
    try:
        found = _found(GOOD.replace(was, now, 1))
    except PipeyardError as error:
        found = [str(error)]
    assert any(told in each for each in found), found


def test_what_a_shell_is_to_read_has_two_dollar_signs():
    assert _found(GOOD.replace("$$HOME", "$${_TAG:-latest}")) == []


def test_a_build_that_doesn_t_say_how_long_it_may_take_has_an_hour():
    text = "steps:\n- {name: i, timeout: 3601s}\n"
    assert "may take 3601 s, but the whole build 3600 s, as it doesn't say" in _found(text)[0]
    assert _found(text.replace("3601", "3600")) == []


def test_a_step_may_work_outside_the_source_but_not_above_it():
    assert _found("steps:\n- {name: i, dir: /usr/src}\n") == []
    assert "isn't in /workspace" in _found("steps:\n- {name: i, dir: ../other}\n")[0]


def test_names_of_the_user_s_own_are_no_fields():
    assert _found("steps:\n- {name: i, args: ['$_ONE_TWO']}\nsubstitutions: {_ONE_TWO: a}\n") == []
    envelope = "secrets: [{kmsKeyName: k, secretEnv: {own_token: YQ==}}]\n"
    assert _found("steps:\n- {name: i, secretEnv: [own_token]}\n" + envelope) == []


def test_a_step_above_that_is_waited_for_by_one_below_is_told_from_a_circle():
    forward = "steps:\n- {id: a, name: i, waitFor: [b]}\n- {id: b, name: i}\n"
    assert "it waits for 'b', which stands below. Write that step above this one." in _found(forward)[0]
    circle = (
        "steps:\n- {id: a, name: i, waitFor: [b]}\n- {id: b, name: i, waitFor: [c]}\n- {id: c, name: i, waitFor: [a]}\n"
    )
    assert "steps wait for each other: a -> b -> c -> a" in _found(circle)[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps: []\n", "the build has no step"),
        ("timeout: 1s\n", "the build has no step"),
        ("steps: [{}]\n", "step 0 is empty"),
        ("steps: [{name: i, script: ' '}]\n", "step 0 has an empty script"),
    ],
)
def test_nothing_is_no_build(text, told):
    assert any(told in each for each in _found(text))


def test_what_is_pushed_at_the_end_isn_t_there_when_a_step_deploys_it():
    text = "steps:\n- {name: i, args: [pipeyard deploy]}\nimages: [host/a:1]\n"
    assert "`images` are pushed after the last step" in _found(text)[0]


def test_with_a_trigger_substitutions_without_value_are_empty():
    text = "steps:\n- {name: i, args: ['$_ONE']}\nsubstitutions: {_TWO: a}\n"
    assert len(_found(text)) == 2
    assert _found(text, triggered=True) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps: [\n", "isn't valid YAML"),
        ("- a\n", "is no mapping"),
        ("a: 2026-01-01\n", "that JSON doesn't have"),
    ],
)
def test_what_is_no_build_at_all_is_an_error(text, told):
    with pytest.raises(PipeyardError, match=told):
        _found(text)


TRIGGER = """\
name: main
filename: cloudbuild.yaml
repositoryEventConfig: {repository: projects/p/locations/l/connections/c/repositories/r, push: {branch: ^main$}}
substitutions: {_TAG: b}
includedFiles: ['**']
"""


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("name: main\n", "", "it has no `name`"),
        ("cloudbuild.yaml", "build.yaml", "there is no build 'build.yaml'"),
        ("^main$", "'(main'", "is no regular expression"),
        ("^main$", "main", "also fits parts of names"),
        ("{_TAG: b}", "{_TAGS: b}", "cloudbuild.yaml declares no _TAGS. Did you mean '_TAG'?"),
        ("includedFiles", "includeFiles", "Cloud Build knows no field 'includeFiles'"),
        (", push: {branch: ^main$}", "", "nothing starts it"),
    ],
)
def test_a_trigger_s_mistakes_are_told(tmp_path, was, now, told):
    (tmp_path / "cloudbuild.yaml").write_text(GOOD, encoding="utf-8")

    def found(text: str) -> list[str]:
        document = documents.parse(text, tmp_path / "main.yaml")
        return [
            str(each)
            for each in cloudbuild_rules.check_trigger(document, tmp_path, lambda name: documents.load(tmp_path / name))
        ]

    assert found(TRIGGER) == []
    assert was in TRIGGER
    assert any(told in each for each in found(TRIGGER.replace(was, now, 1)))
