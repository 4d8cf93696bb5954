"""Builds are executed here as Cloud Build executes them."""

import json
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.scratch_git import commit, git

from pipeyard.ci import build_config, documents, substitutions
from pipeyard.ci.emulator import build_scheduler, processes
from pipeyard.commands import ci
from pipeyard.errors import PipeyardError


def _build(text: str, given: dict[str, str] | None = None, triggered: bool = False) -> build_config.BuildConfig:
    content = documents.parse(text, Path("cloudbuild.yaml")).content
    values = build_config.given_values(content, {"PROJECT_ID": "p", **(given or {})}, triggered)
    return build_config.of(content, values, build_config.is_loose(content, triggered))


@pytest.fixture
def execute(tmp_path):
    """Executes a build on the host; returns its result, with logs as text."""

    def run(text: str, given=None, secrets=None, variables=None, **options):
        workspace = tmp_path / "workspace"
        workspace.mkdir(exist_ok=True)
        machine = {"PATH": "/usr/bin:/bin", **(variables or {})}
        host = processes.OnHost(workspace, tmp_path / "scripts", machine, secrets or {})
        return build_scheduler.run(_build(text, given), host, tmp_path / "logs", **options)

    return run


def _log(result: build_scheduler.Result, name: str) -> str:
    return next(each.log for each in result.steps if each.name == name).read_text(encoding="utf-8")


def _statuses(result: build_scheduler.Result) -> dict[str, str]:
    return {each.name: str(each.status) for each in result.steps}


def test_values_are_put_into_fields_but_not_into_scripts(execute):
    result = execute(
        """\
steps:
- {id: fields, name: i, entrypoint: sh, args: [-c, 'echo $_A ${_A}b $$A $PROJECT_ID-$COMMIT_SHA.'], env: ['A=from-$_A']}
- {id: script, name: i, env: ['A=$_A'], script: 'echo $A $_A. $$ | sed "s/[0-9]*$//"'}
substitutions: {_A: one}
options: {env: [B=b]}
"""
    )
    assert result.status == "SUCCESS"
    assert _log(result, "fields") == "one oneb from-one p-.\n"
    assert _log(result, "script") == "one . \n"


def test_all_substitutions_are_variables_of_scripts_where_the_build_says_so(execute):
    text = "steps:\n- {id: a, name: i, script: 'echo $_A $PROJECT_ID'}\nsubstitutions: {_A: one}\n"
    text += "options: {automapSubstitutions: true}\n"
    assert _log(execute(text), "a") == "one p\n"


def test_given_values_win_and_unknown_ones_are_refused_unless_a_trigger_gives_them():
    text = "steps:\n- {name: i, args: ['$_A']}\nsubstitutions: {_A: one}\n"
    assert _build(text, {"_A": "two"}).steps[0].args == ("two",)
    with pytest.raises(PipeyardError, match="no substitution _B. It declares: _A"):
        _build(text, {"_B": "two"})
    assert _build(text, {"_B": "two"}, triggered=True).steps[0].args == ("one",)


def test_values_made_of_others_are_put_in_where_that_is_on():
    text = "steps:\n- {name: i, args: ['$_B']}\nsubstitutions: {_A: one, _B: '${_A}-$PROJECT_ID'}\n"
    text += "options: {dynamicSubstitutions: true}\n"
    assert _build(text).steps[0].args == ("one-p",)
    with pytest.raises(PipeyardError, match="in a circle"):
        substitutions.resolve({"_A": "x$_B", "_B": "x$_A"})


@pytest.mark.parametrize("text", ["${_A:-b}", "${_A/a/b}", "${}"])
def test_operations_of_bash_are_refused_with_the_way_out(text):
    with pytest.raises(PipeyardError, match="Hand the value to a script by `env`"):
        substitutions.expand(text, {"_A": "one"})


def test_an_undeclared_name_has_near_misses():
    with pytest.raises(PipeyardError, match="Did you mean '_TAG'"):
        substitutions.expand("$_TAGS", {"_TAG": "one"})


def test_without_wait_for_steps_run_one_after_the_other(execute):
    text = "steps:\n- {name: i, script: 'sleep 0.3; echo a >>order'}\n- {name: i, script: 'echo b >>order'}\n"
    text += "- {id: end, name: i, script: cat order}\n"
    assert _log(execute(text), "end") == "a\nb\n"


def test_steps_that_wait_for_nothing_run_at_once(execute):
    """Each waits until the other is there."""
    wait = "touch {}; for i in $(seq 400); do [ -e {} ] && exit 0; sleep 0.05; done; exit 1"
    text = f"""\
steps:
- {{id: a, name: i, waitFor: ['-'], script: '{wait.format("a", "b")}'}}
- {{id: b, name: i, waitFor: ['-'], script: '{wait.format("b", "a")}'}}
- {{id: c, name: i, waitFor: [a, b], script: 'echo c'}}
"""
    assert execute(text).status == "SUCCESS"


def test_scripts_that_are_written_while_other_steps_start_can_be_executed(execute):
    steps = [f"- {{id: s{number}, name: i, waitFor: ['-'], script: 'echo {number}'}}" for number in range(60)]
    result = execute("steps:\n" + "\n".join(steps))
    assert set(_statuses(result).values()) == {"SUCCESS"}


def test_a_failure_ends_the_build_and_what_waits_for_it_never_starts(execute, tmp_path):
    text = """\
steps:
- {id: fails, name: i, waitFor: ['-'], script: 'sleep 0.2; echo why; exit 3'}
- {id: long, name: i, waitFor: ['-'], script: 'sleep 60'}
- {id: after, name: i, waitFor: [fails], script: 'touch deployed'}
- {id: beside, name: i, waitFor: [long], script: 'touch deployed'}
"""
    begin = time.monotonic()
    result = execute(text)
    assert time.monotonic() - begin < 15
    assert result.status == "FAILURE"
    assert _statuses(result) == {"fails": "FAILURE", "long": "CANCELLED", "after": "QUEUED", "beside": "QUEUED"}
    assert result.steps[0].code == 3
    assert not (tmp_path / "workspace/deployed").exists()


def test_failures_that_are_allowed_stop_nothing(execute):
    text = """\
steps:
- {id: a, name: i, allowFailure: true, script: exit 3}
- {id: b, name: i, allowExitCodes: [4], script: exit 4}
- {id: c, name: i, script: 'true'}
"""
    result = execute(text)
    assert result.status == "SUCCESS"
    assert _statuses(result) == {"a": "FAILURE", "b": "SUCCESS", "c": "SUCCESS"}


def test_a_step_and_a_build_that_take_too_long_are_stopped(execute):
    result = execute(
        "steps:\n- {id: a, name: i, timeout: 0.3s, script: sleep 60}\n- {id: b, name: i, script: 'true'}\n"
    )
    assert (result.status, _statuses(result)) == ("TIMEOUT", {"a": "TIMEOUT", "b": "QUEUED"})
    result = execute("steps:\n- {id: a, name: i, script: sleep 60}\ntimeout: 0.3s\n")
    assert result.status == "TIMEOUT"
    assert "timed out after 0.3 s" in result.steps[0].text


def test_a_step_that_may_fail_may_also_take_too_long_but_the_build_may_not(execute):
    allowed = "{id: a, name: i, allowFailure: true, LIMIT script: sleep 60}"
    text = f"steps:\n- {allowed}\n- {{id: b, name: i, script: 'true'}}\n"
    result = execute(text.replace("LIMIT", "timeout: 0.3s,"))
    assert (result.status, _statuses(result)) == ("SUCCESS", {"a": "TIMEOUT", "b": "SUCCESS"})
    for limit in ("", "timeout: 60s,"):
        result = execute(text.replace("LIMIT", limit) + "timeout: 0.3s\n")
        assert (result.status, _statuses(result)) == ("TIMEOUT", {"a": "TIMEOUT", "b": "QUEUED"})


def test_the_user_s_stop_ends_it(execute):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    result = execute("steps:\n- {id: a, name: i, script: sleep 60}\n", stopped=stop.is_set)
    assert (result.status, _statuses(result)) == ("CANCELLED", {"a": "CANCELLED"})


def test_scripts_go_by_their_own_interpreter_and_the_default_one_goes_on_after_failures(execute):
    text = f"""\
steps:
- {{id: python, name: i, script: "#!{sys.executable}\\nprint(1 + 1)"}}
- {{id: shell, name: i, script: "false\\necho goes on"}}
"""
    result = execute(text)
    assert _log(result, "python") == "2\n"
    assert _log(result, "shell") == "goes on\n"


def test_folders_are_in_the_workspace(execute, tmp_path):
    (tmp_path / "workspace/sub").mkdir(parents=True)
    text = "steps:\n- {id: a, name: i, dir: sub, script: pwd}\n- {id: b, name: i, dir: /workspace/sub, script: pwd}\n"
    result = execute(text)
    assert _log(result, "a") == _log(result, "b") == f"{tmp_path}/workspace/sub\n"


def test_secrets_reach_only_the_steps_that_name_them(execute, tmp_path):
    text = """\
steps:
- {id: a, name: i, secretEnv: [TOKEN], script: 'echo "has ${TOKEN}"'}
- {id: b, name: i, script: 'echo "has ${TOKEN:-none}"'}
availableSecrets: {secretManager: [{versionName: v, env: TOKEN}]}
"""
    result = execute(text, secrets={"TOKEN": "hush"}, variables={"TOKEN": "hush"})  # which is where secrets are from
    assert _log(result, "a") == "has hush\n"
    assert _log(result, "b") == "has none\n"
    assert not any("hush" in path.read_text() for path in (tmp_path / "scripts").iterdir())


def test_steps_don_t_go_by_where_they_are_started_from(execute):
    unwanted = ("COMMIT_SHA", "SINCE", "VIRTUAL_ENV", "PIPEYARD_REGISTRY", "MAKEFLAGS")
    variables = {**dict.fromkeys(unwanted, "x"), "HOME": "/home"}
    result = execute("steps:\n- {id: a, name: i, script: env}\n", variables=variables)
    assert "HOME=/home" in _log(result, "a")
    assert "=x" not in _log(result, "a")


def test_on_the_host_the_program_comes_from_entrypoint_arguments_or_the_builder_s_name(execute):
    text = """\
steps:
- {id: a, name: python, args: [echo, one]}
- {id: b, name: host/cloud-builders/echo, args: [two]}
- {id: c, name: host/cloud-builders/docker, entrypoint: echo, args: [three]}
"""
    result = execute(text)
    assert [_log(result, name) for name in "abc"] == ["one\n", "two\n", "three\n"]


def test_a_program_that_isn_t_there_fails_the_step_with_the_way_out(execute):
    result = execute("steps:\n- {id: a, name: i, args: [no-such-program]}\n")
    assert result.status == "FAILURE"
    assert "no-such-program isn't on this machine: install it, or use --steps docker" in result.steps[0].text


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("args: [cat, /workspace/a]", "names /workspace (/workspace/a)"),
        ('script: "#!/bin/sh\\ncd /workspace && ls"', "names /workspace (cd /workspace && ls)"),
        ("env: ['PLACE=/workspace'], script: ls", "names /workspace (/workspace)"),
        ("volumes: [{name: v, path: /cache}], script: ls /cache", "has the volume v"),
        ("dir: /usr, script: ls", "works in /usr"),
    ],
)
def test_what_is_elsewhere_on_the_host_is_refused(execute, step, told):
    with pytest.raises(PipeyardError, match=re.escape(f"a {told}")):
        execute(f"steps:\n- {{id: a, name: i, {step}}}\n")


def test_a_folder_of_this_machine_s_that_is_called_workspace_is_no_trouble(execute):
    result = execute("steps:\n- {id: a, name: i, args: [echo, runs/.ci/workspace/a, /workspaces, x/workspace]}\n")
    assert result.status == "SUCCESS"


def test_an_image_s_own_program_isn_t_known_on_the_host(execute):
    result = execute("steps:\n- {id: a, name: some/image}\n")
    assert result.status == "FAILURE"
    assert "what some/image begins isn't known here: use --steps docker" in result.steps[0].text


def test_what_only_cloud_build_does_is_refused():
    with pytest.raises(PipeyardError, match="Push in a step, before what uses it"):
        _build("steps:\n- {name: i}\nimages: [a]\n")


DOCKER = """\
#!/bin/sh
# Notes how it was called; does what a container of an image with a shell would.
echo "$@" >>{log}
[ "$1" = run ] && exit 4
exit 0
"""


def test_in_containers_a_step_has_workspace_home_socket_variables_and_its_own_program(tmp_path):
    program, log = tmp_path / "docker", tmp_path / "calls"
    program.write_text(DOCKER.format(log=log), encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    text = """\
steps:
- id: one
  name: python:3.11
  dir: sub
  env: [A=$_A]
  secretEnv: [TOKEN]
  volumes: [{name: v, path: /v}]
  script: 'true'
substitutions: {_A: a}
availableSecrets: {secretManager: [{versionName: v, env: TOKEN}]}
"""
    home = tmp_path / "home"
    home.mkdir()
    machine = {"PATH": "/usr/bin:/bin", "DOCKER_HOST": "unix:///run/own.sock"}
    inside = processes.InContainers(
        str(program), tmp_path / "w", tmp_path / "scripts", home, machine, {"TOKEN": "hush"}, "ci", "host"
    )
    result = build_scheduler.run(_build(text), inside, tmp_path / "logs")
    assert (result.status, result.steps[0].code) == ("FAILURE", 4)
    called, removed = log.read_text(encoding="utf-8").splitlines()
    for part in (
        "run --name ci-0 --workdir=/workspace/sub --network=host",
        f"--volume={tmp_path}/w:/workspace",
        f"--volume={home}:/builder/home",
        f"--volume={tmp_path}/volumes/v:/v",
        "--volume=/run/own.sock:/var/run/docker.sock",
        "--env=HOME=/builder/home",
        "--env=A=a",
        "--env=TOKEN ",
        "--entrypoint=/builder/scripts/step-0 python:3.11",
    ):
        assert part in called
    assert "hush" not in called
    assert removed == "rm --force ci-0"


FLOW = """\
steps:
- id: source
  name: i
  env: ['COMMIT_SHA=$COMMIT_SHA']
  script: 'build/ci-source "$COMMIT_SHA" && cat file && echo "by ${COMMIT_SHA:-hand}"'
"""
TRIGGER = """\
name: pipeyard-main
filename: cloudbuild.yaml
repositoryEventConfig: {repository: r, push: {branch: ^main$}}
"""


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    files = {
        "components/README.md": "",
        "pipelines/README.md": "",
        "cloudbuild.yaml": FLOW,
        "triggers/cloud-build/main.yaml": TRIGGER,
        "build/ci-source": (Path(__file__).parents[3] / "build/ci-source").read_text(encoding="utf-8"),
        "file": "first\n",
        ".gitignore": "/runs/\n/dist/\n.venv/\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "build/ci-source").chmod(0o755)
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root)
    return root


def _run(root, *options):
    done = CliRunner().invoke(ci.command, ["run", "--json", "--project", str(root), *options], catch_exceptions=True)
    return done, json.loads(done.stdout) if done.stdout.startswith("{") else {}


def test_a_trigger_builds_the_commit_and_not_what_is_around_it(repository):
    (repository / "file").write_text("not committed\n", encoding="utf-8")
    done, told = _run(repository, "--trigger", "main")
    assert done.return_value in (0, None), done.stderr
    log = Path(told["steps"][0]["log"]).read_text(encoding="utf-8")
    head = git(repository, "rev-parse", "HEAD").strip()
    assert log == f"commit {head}\nfirst\nby {head}\n"


def test_by_hand_the_commit_is_what_is_checked_out_and_changes_are_refused(repository):
    done, told = _run(repository)
    log = Path(told["steps"][0]["log"]).read_text(encoding="utf-8")
    assert log.endswith("first\nby hand\n")
    (repository / "file").write_text("not committed\n", encoding="utf-8")
    done, told = _run(repository)
    assert told["status"] == "FAILURE"
    assert "there are changes that aren't committed" in done.stderr
    assert " M file" in done.stderr


def test_the_next_build_finds_environments_and_nothing_else_of_the_last(repository):
    _run(repository)
    workspace = repository / "runs/.ci/workspace"
    for name in ("dist/old", "components/a/.venv/kept"):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text("", encoding="utf-8")
    (repository / "file").write_text("second\n", encoding="utf-8")
    commit(repository)
    done, told = _run(repository, "--trigger", "main")
    assert "second\n" in Path(told["steps"][0]["log"]).read_text(encoding="utf-8"), done.stderr
    assert not (workspace / "dist").exists()
    assert (workspace / "components/a/.venv/kept").exists()


def test_a_commit_that_isn_t_checked_out_is_what_is_built(repository):
    first = git(repository, "rev-parse", "HEAD").strip()
    (repository / "file").write_text("second\n", encoding="utf-8")
    commit(repository)
    done = subprocess.run(["build/ci-source", first], cwd=repository, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"commit {first}\n")
    assert (repository / "file").read_text(encoding="utf-8") == "first\n"


def test_without_a_repository_the_source_says_what_a_manual_submit_left_out(repository, tmp_path):
    (tmp_path / "copy/build").mkdir(parents=True)
    script = tmp_path / "copy/build/ci-source"
    script.write_bytes((repository / "build/ci-source").read_bytes())
    script.chmod(0o755)
    alone = {"PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    done = subprocess.run([str(script)], capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 1
    assert ".gcloudignore" in done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--trigger", "mian"], "Did you mean 'main'?"),
        (["--trigger", "main", "--ref", "other"], "The trigger main isn't for the branch other"),
        (["--trigger", "development", "--ref", "main"], "The trigger development isn't for the branch main"),
        (["--trigger", "development"], "Which branch does the trigger development build? Give --ref."),
        (["--trigger", "release"], "Which branch does the trigger release build? Give --ref."),
        (["--substitution", "_TAG=1"], "no substitution _TAG"),
    ],
)
def test_what_can_t_be_started_says_why(repository, options, told):
    for name, push in (("development", "{branch: ^main$, invertRegex: true}"), ("release", "{branch: ^rel-.*$}")):
        text = TRIGGER.replace("{branch: ^main$}", push)
        (repository / f"triggers/cloud-build/{name}.yaml").write_text(text, encoding="utf-8")
    commit(repository)
    done, _ = _run(repository, *options)
    assert isinstance(done.exception, PipeyardError)
    assert told in str(done.exception)


def test_a_trigger_for_one_branch_is_of_that_one_wherever_one_is(repository):
    git(repository, "checkout", "--quiet", "-b", "feature")
    text = FLOW.replace("'COMMIT_SHA=$COMMIT_SHA'", "'COMMIT_SHA=$COMMIT_SHA', 'BRANCH=$BRANCH_NAME'")
    (repository / "cloudbuild.yaml").write_text(text.replace("&& cat file", '&& echo "$BRANCH"'), encoding="utf-8")
    commit(repository)
    done, told = _run(repository, "--trigger", "main")
    assert "\nmain\n" in Path(told["steps"][0]["log"]).read_text(encoding="utf-8"), done.stderr


def test_a_build_that_cloud_build_would_refuse_isn_t_begun(repository):
    (repository / "cloudbuild.yaml").write_text("steps:\n- {id: a, name: i, waitFor: [b]}\n", encoding="utf-8")
    commit(repository)
    done, _ = _run(repository)
    assert "Cloud Build would refuse this build" in str(done.exception)
    assert "cloudbuild.yaml:2: it waits for 'b'" in str(done.exception)


def _until(condition):
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_two_builds_don_t_share_a_workspace(repository):
    slow = "steps:\n- {id: a, name: i, script: 'touch ../begun; until [ -e ../go ]; do sleep 0.1; done'}\n"
    (repository / "cloudbuild.yaml").write_text(slow, encoding="utf-8")
    commit(repository)
    program = [str(Path(sys.executable).with_name("pipeyard")), "ci", "run", "--project", str(repository)]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        _until((repository / "runs/.ci/begun").exists)
        done, _ = _run(repository)
        (repository / "runs/.ci/go").touch()
        assert "Another build works in" in str(done.exception)
        assert first.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_stopped_stops_its_steps(repository, number):
    slow = "steps:\n- {id: a, name: i, script: 'echo $$ >../process; exec sleep 60'}\n"
    (repository / "cloudbuild.yaml").write_text(slow, encoding="utf-8")
    commit(repository)
    program = [str(Path(sys.executable).with_name("pipeyard")), "ci", "run", "--project", str(repository)]
    noted = repository / "runs/.ci/process"
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        _until(lambda: noted.exists() and noted.read_text(encoding="utf-8"))
        build.send_signal(number)
        assert build.wait(20) == 130
    assert not Path("/proc", noted.read_text(encoding="utf-8").strip()).exists()


def test_a_secret_that_isn_t_set_is_named_before_anything_runs(repository, monkeypatch):
    text = "steps:\n- {id: a, name: i, secretEnv: [OWN_TOKEN], script: 'echo $OWN_TOKEN; exit 1'}\n"
    text += "availableSecrets: {secretManager: [{versionName: v, env: OWN_TOKEN}]}\n"
    (repository / "cloudbuild.yaml").write_text(text, encoding="utf-8")
    commit(repository)
    monkeypatch.delenv("OWN_TOKEN", raising=False)
    done, _ = _run(repository)
    assert "Steps need the secret OWN_TOKEN" in str(done.exception)
    monkeypatch.setenv("OWN_TOKEN", "hush-hush")
    done, told = _run(repository)
    assert told["status"] == "FAILURE"
    assert "***" in done.stderr
    assert "hush-hush" not in done.stderr
