"""The flow, and what is rendered of it."""

import functools
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeyard.ci import cloudbuild, cloudbuild_rules, documents, flow, linter, push_triggers, rendered_files
from pipeyard.commands import ci
from pipeyard.errors import PipeyardError
from pipeyard.repository import changes, dependency_graph, project

ROOT = Path(__file__).parents[3]
PROJECT = project.find(ROOT)
# The reference flow, in its order.
TEN = (
    *("copy-source", "unit-tests", "pylint", "build-images", "push-images"),
    *("rewrite-specs", "compile", "upload", "deploy", "run"),
)


@functools.cache  # one test asks for it once a file of the repository
def _content(name: str) -> dict:
    return documents.load(ROOT / name).content


def _awaited(steps: dict[str, dict], name: str) -> set[str]:
    direct = [each for each in steps[name]["waitFor"] if each != "-"]
    return {*direct, *(each for one in direct for each in _awaited(steps, one))}


def test_what_ci_servers_read_is_what_is_rendered_and_has_nothing_to_mend():
    assert linter.check(PROJECT) == []


def test_the_ten_steps_of_the_reference_flow_are_steps_of_their_own():
    names = [step["id"] for step in _content("cloudbuild.yaml")["steps"]]
    assert [name for name in names if name in TEN] == list(TEN)
    assert set(names) - set(TEN) == {"toolchain", "advisories"}


def test_nothing_is_pushed_before_tests_and_lint_and_nothing_deployed_before_the_push():
    steps = {step["id"]: step for step in _content("cloudbuild.yaml")["steps"]}
    assert {"unit-tests", "pylint", "build-images"} <= _awaited(steps, "push-images")
    for name in ("rewrite-specs", "compile", "upload", "deploy", "run"):
        assert "push-images" in _awaited(steps, name)
    assert "images" not in _content("cloudbuild.yaml")
    # Tests, lint and builds are beside each other.
    for name in ("unit-tests", "pylint", "build-images"):
        assert not {"unit-tests", "pylint", "build-images"} & _awaited(steps, name)


def test_branches_get_tests_and_compilation_and_no_registry():
    build = _content("cloudbuild.development.yaml")
    before = ["copy-source", "toolchain", "unit-tests", "pylint", "advisories"]
    assert [step["id"] for step in build["steps"]] == [*before, "compile"]
    text = "\n".join(step["script"] for step in build["steps"])
    assert not re.search(r"pipeyard (build|deploy|upload|run)|--env", text)


def test_every_step_stops_at_the_first_failure_and_has_a_limit():
    for name in cloudbuild.FILES.values():
        for step in _content(name)["steps"]:
            assert step["script"].startswith("#!/bin/sh\nset -eu\n")
            assert step["timeout"].endswith("s")


def test_a_deploy_that_doesn_t_wait_for_the_push_is_found(tmp_path, monkeypatch):
    text = (ROOT / "cloudbuild.yaml").read_text(encoding="utf-8")
    changed = text.replace("    - upload\n", "    - toolchain\n", 1).replace("    - unit-tests\n", "", 1)
    (tmp_path / "cloudbuild.yaml").write_text(changed, encoding="utf-8")
    found = [str(each) for each in linter.check(project.Project(tmp_path), ("cloudbuild.yaml",))]
    assert any("deploy doesn't wait for push-images" in each for each in found)
    assert any("push-images doesn't wait for unit-tests" in each for each in found)


def test_a_stale_file_is_told_and_rewritten(tmp_path):
    root = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(root)], check=True)
    for name, text in rendered_files.expected(project.Project(root), "jenkins").items():
        (root / name).write_text(f"{text}\n", encoding="utf-8")
    run = CliRunner().invoke
    done = run(ci.command, ["jenkins", "--check", "--project", str(root)], standalone_mode=False)
    assert done.return_value == 1
    assert "Jenkinsfile isn't what is rendered. Run `pipeyard ci jenkins`." in done.stderr
    assert run(ci.command, ["jenkins", "--project", str(root)], standalone_mode=False).return_value == 0
    assert run(ci.command, ["jenkins", "--check", "--project", str(root)], standalone_mode=False).return_value == 0


def test_what_the_tree_has_decides_limits_and_triggers(tmp_path):
    for folder in ("components/one", "pipelines", "extra"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "components/one/component.yaml").write_text("name: one\n", encoding="utf-8")
    (tmp_path / "components/one/Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    (tmp_path / "components/one/pyproject.toml").write_text("", encoding="utf-8")
    (tmp_path / "extra/file").write_text("", encoding="utf-8")
    (tmp_path / "settings.yaml").write_text(
        "variables: {TEAM: whose it is}\n"
        "environments:\n  prod: {target: kfp, auth: {kind: token, token_env: KFP_TOKEN}}\n",
        encoding="utf-8",
    )
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "--all"], cwd=tmp_path, check=True)
    (tmp_path / "scratch").touch()
    small = project.Project(tmp_path)
    files = rendered_files.expected(small, "cloudbuild")
    build = yaml.safe_load(files["cloudbuild.yaml"])
    assert build["substitutions"]["_TEAM"] == ""
    steps = {step["id"]: step for step in build["steps"]}
    assert steps["deploy"]["secretEnv"] == ["KFP_TOKEN"]
    assert build["options"]["env"] == ["TEAM=$_TEAM"]
    assert "# _TEAM: whose it is" in files["cloudbuild.yaml"]
    assert "secretEnv" not in steps["unit-tests"]
    assert build["availableSecrets"]["secretManager"][0]["env"] == "KFP_TOKEN"
    assert cloudbuild_rules.check_build(documents.parse(files["cloudbuild.yaml"], tmp_path / "cloudbuild.yaml")) == []
    limit = {step.name: step.minutes for step in flow.delivery(small).steps}["build-images"]
    assert limit < {step.name: step.minutes for step in flow.delivery(PROJECT).steps}["build-images"]
    included = yaml.safe_load(files["triggers/cloud-build/main.yaml"])["includedFiles"]
    assert "extra/**" in included
    assert "scratch" not in included
    stages = rendered_files.expected(small, "jenkins")["Jenkinsfile"].split("stage(")
    assert [each[:20] for each in stages if "KFP_TOKEN = credentials('KFP_TOKEN')" in each] == [
        each[:20] for each in stages if each.startswith(("'delivery: deploy'", "'delivery: run'"))
    ]
    assert "${{ secrets.KFP_TOKEN }}" in rendered_files.expected(small, "github")[".github/workflows/pipeyard.yaml"]


def test_every_server_runs_the_same_commands_in_an_order_that_waits():
    described = flow.delivery(PROJECT)
    for step in described.steps:
        before = [each.name for each in described.steps[: described.steps.index(step)]]
        assert set(step.needs) <= set(before)
    jenkins = (ROOT / "Jenkinsfile").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github/workflows/pipeyard.yaml").read_text(encoding="utf-8"))
    for name, found in (("delivery", described), ("development", flow.development(PROJECT))):
        run = [step["run"] for step in workflow["jobs"][name]["steps"] if step.get("name")]
        assert run == ["\n".join(["set -eu", *step.commands]) + "\n" for step in found.steps]
        for step in found.steps:
            assert "\n".join(["set -eu", *step.commands]) in jenkins


def test_of_github_s_jobs_the_one_that_deploys_alone_gets_a_token_for_google_cloud():
    workflow = yaml.safe_load((ROOT / ".github/workflows/pipeyard.yaml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["delivery"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert workflow["jobs"]["delivery"]["if"].startswith("github.ref == 'refs/heads/main' ||")
    assert "permissions" not in workflow["jobs"]["development"]
    token = [
        job for job in workflow["jobs"] for step in workflow["jobs"][job]["steps"] if "/auth@" in step.get("uses", "")
    ]
    assert token == ["delivery"]


def test_github_s_actions_are_pinned_by_commit_with_their_tag():
    text = (ROOT / ".github/workflows/pipeyard.yaml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert len(used) == 5
    assert not [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", each)]


def test_variables_that_steps_read_are_set_for_them():
    for described in (flow.delivery(PROJECT), flow.development(PROJECT)):
        for step in described.steps:
            names = {flow.COMMIT if name == flow.COMMIT else described.variable(name).in_shell for name in step.takes}
            read = set(re.findall(r"\$\{?([A-Z_]{2,})", "\n".join(step.commands)))
            assert read <= names


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"_TAG": "a"}, "has no variable _TAG"),
        ({"_ENVIROMENT": "test"}, "Did you mean 'ENVIRONMENT'?"),
        ({"_ENVIRONMENT": "tset"}, "nothing can be deployed to that. Did you mean 'test'?"),
        ({"ENVIRONMENT": "local"}, "nothing can be deployed to that"),
        ({"_RUN": "one tow"}, "RUN has 'tow', which is no pipeline. Did you mean 'two'?"),
        ({"_RUN": "one; rm"}, "_RUN is 'one; rm', but it is pipelines to run"),
        ({"_PYTHON_IMAGE": ""}, "_PYTHON_IMAGE is ''"),
    ],
)
def test_what_a_build_is_given_is_checked(given, told):
    with pytest.raises(PipeyardError, match=re.escape(told)):
        flow.check_values(flow.delivery(PROJECT), given, ["dev", "test"], ["one", "two"])


def test_values_in_order_pass():
    given = {"_ENVIRONMENT": "test", "_RUN": "one two", "BUILDER_OPTIONS": "--network=host --pull=true"}
    flow.check_values(flow.delivery(PROJECT), given, ["test"], ["one", "two"])


def _starts(name: str, kind: str, ref: str, *files: str) -> tuple[bool, str]:
    return push_triggers.starts(_content(f"{cloudbuild.TRIGGERS}/{name}.yaml"), kind, ref, files)


def test_each_push_starts_the_trigger_that_is_meant():
    source = "components/train/src/train/step.py"
    assert _starts("main", "branch", "main", source) == (True, f"{source} changed (components/**)")
    assert not _starts("main", "branch", "maintenance", source)[0]
    assert _starts("development", "branch", "feature/x", source)[0]
    assert not _starts("development", "branch", "main", source)[0]
    assert _starts("tag", "tag", "v1.2.3", source)[0]
    assert not _starts("tag", "tag", "v1.2.3-rc1", source)[0]
    assert not _starts("tag", "branch", "main", source)[0]


@pytest.mark.parametrize(
    "file",
    ["README.md", "docs/ci.md", "docs/report.png", "notebooks/any.py", "components/train/README.md", ".gitignore"],
)
def test_documentation_and_notebooks_start_nothing(file):
    for name, ref in (("main", "main"), ("development", "other")):
        assert _starts(name, "branch", ref, file) == (False, "all files that changed are ignored")
        assert _starts(name, "branch", ref, file, "settings.yaml")[0]


def test_a_file_starts_a_build_exactly_if_something_is_made_of_it():
    tree = dependency_graph.Graph(PROJECT)
    listed = changes.git_of(ROOT)(["ls-files", "-z"])
    for file in filter(None, listed.split("\0")):
        assert _starts("main", "branch", "main", file)[0] == bool(tree.nodes_of(file)), file


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("a/b.md", "*.md", False),
        ("b.md", "*.md", True),
        ("a/b/c.md", "**/*.md", True),
        ("docs/a/b", "docs/**", True),
        ("docsa/b", "docs/**", False),
        ("a.b", "a?b", True),
        ("axb", "a.b", False),
    ],
)
def test_patterns_are_cloud_build_s(name, pattern, fits):
    assert push_triggers.matches(name, pattern) == fits


def test_a_package_that_is_there_needs_no_installation_and_one_that_is_not_is_named(tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [str(ROOT / "build/ci-packages"), *arguments]
        (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n", encoding="utf-8")
        (tmp_path / "id").chmod(0o755)
        path = f"{tmp_path}:/usr/bin:/bin"
        return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": path})

    assert run("dash=sh", "base=/bin/*sh").returncode == 0
    done = run("dash=sh", "other=no-such-program", "third=/no/*/such")
    assert done.returncode == 1
    assert "install what the packages other third have" in done.stderr


def test_variables_and_settings_are_checked_before_anything_is_built(tmp_path, monkeypatch):
    for folder in ("components", "pipelines"):
        (tmp_path / folder).mkdir()
    text = "environments:\n  test: {target: kfp, host: 'http://h', bucket: 'gs://bucket', pipeline_root: runs}\n"
    (tmp_path / "settings.yaml").write_text(text, encoding="utf-8")

    def told() -> str:
        done = CliRunner().invoke(ci.command, ["values", "delivery", "--project", str(tmp_path)])
        return str(done.exception or "")

    monkeypatch.setenv("ENVIRONMENT", "test")
    assert told() == ""
    monkeypatch.setenv("ENVIRONMENT", "tset")
    assert "Did you mean 'test'?" in told()
    monkeypatch.setenv("ENVIRONMENT", "test")
    (tmp_path / "settings.yaml").write_text(text.replace("host: 'http://h', ", ""), encoding="utf-8")
    assert "settings.yaml:2" in told()
    (tmp_path / "settings.yaml").write_text("environment: {}\n", encoding="utf-8")
    assert "environments is missing" in told()
    declared = "variables: {OWN_HOST: the server}\n" + text.replace("'http://h'", "'${OWN_HOST}'")
    (tmp_path / "settings.yaml").write_text(declared, encoding="utf-8")
    monkeypatch.setenv("OWN_HOST", "")  # as a substitution that nobody gives is
    assert "the variable OWN_HOST isn't set" in told()
    assert "`pipeyard ci run -s _OWN_HOST=...`" in told()
