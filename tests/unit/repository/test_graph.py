"""What a change reaches, in a small repository with a real history."""

import json

import pytest
from click.testing import CliRunner
from support.scratch_git import git

from pipeyard.commands import affected
from pipeyard.errors import PipeyardError
from pipeyard.repository import changes, dependency_graph, project

PIPELINE = 'components = ComponentStore(local_search_paths=["c"]).load_components({loaded})\n'
ONE = """\
ARG TENSORFLOW_IMAGE=tensorflow:dev
FROM ${TENSORFLOW_IMAGE}
COPY libs/stepkit/src components/one/src /src/
"""
UV = '[tool.uv.sources]\nstepkit = {path = "../../libs/stepkit"}\n'


@pytest.fixture
def repository(tmp_path):
    files = {
        "components/one/component.yaml": "name: one\n",
        "components/one/pyproject.toml": UV,
        "components/one/Dockerfile": ONE,
        "components/one/README.md": "one\n",
        "components/one/src/one/step.py": "",
        "components/one/tests/test_one.py": "",
        "components/two/component.yaml": "name: two\n",
        "components/two/pyproject.toml": "",
        "components/two/Dockerfile": "FROM scratch\nCOPY components/two/src /src\n",
        "components/two/src/two/step.py": "",
        "images/python/Dockerfile": "FROM scratch\n",
        "images/tensorflow/Dockerfile": "ARG PYTHON_IMAGE=python:dev\nFROM ${PYTHON_IMAGE}\n",
        "libs/stepkit/pyproject.toml": "",
        "libs/stepkit/src/stepkit/cli.py": "",
        "libs/client/pyproject.toml": '[tool.hatch.build]\ndev-mode-dirs = ["src", "../stepkit/src"]\n',
        "pipelines/first/pipeline.py": PIPELINE.format(loaded='"one"'),
        "pipelines/second/pipeline.py": PIPELINE.format(loaded='"two", {"one": "v1"}'),
        "pipelines/third/pipeline.py": PIPELINE.format(loaded="*NAMES"),
        "build/sync-env": "",
        "build/pipeyard/cli.py": "",
        "tests/unit/test_cli.py": "",
        "tests/pipelines/test_runs.py": "",
        "docs/guide.md": "",
        "notebooks/look.ipynb": "",
        "settings.yaml": "",
        "Makefile": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def _reached(root, *files):
    found = dependency_graph.Graph(project.Project(root)).reached(files)
    return {f"{each.action} {each.part}".strip() for each in found}


def test_environments_below_the_tests_are_not_read(repository):
    foreign = repository / "tests/unit/.venv/lib/foreign.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("print 'Python 2'\n", encoding="utf-8")
    assert _reached(repository, "tests/unit/test_cli.py") == {"lint", "test toolchain"}


@pytest.mark.parametrize("file", ["docs/guide.md", "notebooks/look.ipynb", "components/one/README.md", "README.md"])
def test_documentation_and_notebooks_reach_nothing(repository, file):
    assert _reached(repository, file) == set()


def test_a_source_reaches_its_own_image_and_the_pipelines_that_load_it(repository):
    assert _reached(repository, "components/two/src/two/step.py") == {
        "lint",
        "test component/two",
        "test contracts",
        "test toolchain",
        "test pipelines",
        "image component/two",
        "compile pipeline/second",
        "compile pipeline/third",
        "deploy pipeline/second",
        "deploy pipeline/third",
    }


def test_a_components_tests_reach_no_image(repository):
    assert _reached(repository, "components/one/tests/test_one.py") == {"lint", "test component/one"}


def test_a_dockerfile_reaches_the_image_but_not_the_unit_tests(repository):
    reached = _reached(repository, "components/one/Dockerfile")
    assert "image component/one" in reached
    assert "test component/one" not in reached


@pytest.mark.parametrize(
    "file",
    [
        "components/one/Dockerfile",
        "images/python/Dockerfile",
        "pipelines/first/pipeline.py",
        "settings.yaml",
        "tests/kfp1/uv.lock",
        "build/pipeyard/cli.py",
    ],
)
def test_what_contracts_are_checked_by_reaches_the_check(repository, file):
    assert "test contracts" in _reached(repository, file)


def test_a_component_that_a_task_page_runs_reaches_the_delivery_suite_which_follows_it(repository):
    suite = repository / "tests/delivery/test_task_pages.py"
    page = repository / "docs/tasks/check-data.md"
    for path in (suite, page):
        path.parent.mkdir(parents=True)
    suite.touch()
    page.write_text("components/two/.venv/bin/python -m two\n", encoding="utf-8")
    assert "test delivery" in _reached(repository, "components/two/src/two/step.py")
    assert "test delivery" not in _reached(repository, "components/one/src/one/step.py")


def test_an_environment_in_tests_is_no_suite(repository):
    assert _reached(repository, "tests/kfp1/uv.lock") == {"test toolchain", "test contracts"}


def test_the_servers_of_tests_reach_the_suites_that_start_them(repository):
    server = "tests/servers/kubeflow/api.py"
    assert _reached(repository, server) == {"lint"}
    suite = repository / "tests/pipelines/conftest.py"
    suite.write_text("import os\nfrom servers.kubeflow import KubeflowServer\n", encoding="utf-8")
    assert _reached(repository, server) == {"lint", "test pipelines"}
    (repository / "tests/unit/test_cli.py").write_text(suite.read_text(), encoding="utf-8")
    assert _reached(repository, server) == {"lint", "test pipelines", "test toolchain"}


def test_what_a_suite_lends_others_reaches_them_too(repository):
    lent = "tests/engine/sandbox/programs.py"
    (repository / "tests/engine").mkdir()
    (repository / "tests/engine/test_images.py").touch()
    assert _reached(repository, lent) == {"lint", "test engine"}
    suite = repository / "tests/unit/test_cli.py"
    suite.write_text("import os\nfrom engine.sandbox import programs\n", encoding="utf-8")
    assert _reached(repository, lent) == {"lint", "test engine", "test toolchain"}


def test_a_shared_helper_reaches_the_suites_that_import_it_through_another_helper_too(repository):
    support, suite = repository / "tests/support", repository / "tests/pipelines/conftest.py"
    support.mkdir()
    for name, text in [
        ("lowest", "import os\n"),
        ("middle", "from support import lowest\n"),
        ("highest", "from support.middle import anything\n"),
        ("other", "from servers.kubeflow import KubeflowServer\n"),
    ]:
        (support / f"{name}.py").write_text(text, encoding="utf-8")
    assert _reached(repository, "tests/support/lowest.py") == {"lint"}
    suite.write_text("from support.highest import something\n", encoding="utf-8")
    for name in ("lowest", "middle", "highest"):
        assert _reached(repository, f"tests/support/{name}.py") == {"lint", "test pipelines"}
    assert _reached(repository, "tests/support/other.py") == {"lint"}
    assert _reached(repository, "tests/servers/kubeflow/api.py") == {"lint"}
    (repository / "tests/unit/test_cli.py").write_text("from support import other\n", encoding="utf-8")
    assert _reached(repository, "tests/support/other.py") == {"lint", "test toolchain"}
    assert _reached(repository, "tests/servers/kubeflow/api.py") == {"lint", "test toolchain"}
    assert _reached(repository, "tests/support/lowest.py") == {"lint", "test pipelines"}


def test_a_shared_library_reaches_only_components_that_use_it(repository):
    reached = _reached(repository, "libs/stepkit/src/stepkit/cli.py")
    assert {"test library/stepkit", "image component/one", "deploy pipeline/first"} <= reached
    assert "test library/client" in reached  # whose wheel has parts of it
    assert "test library/stepkit" not in _reached(repository, "libs/client/src/client/store.py")
    assert "image component/two" not in reached


def test_a_base_image_reaches_what_is_built_on_it_through_others(repository):
    reached = _reached(repository, "images/python/Dockerfile")
    assert {"image base/python", "image base/tensorflow", "image component/one"} <= reached
    assert "image component/two" not in reached


def test_what_is_built_with_an_engine_is_reached_by_images_and_the_toolchain(repository):
    suite = repository / "tests" / "engine" / "test_builds.py"
    suite.parent.mkdir()
    suite.touch()
    for file in ("images/python/Dockerfile", "components/two/src/two/step.py", "build/pipeyard/cli.py"):
        assert "test engine" in _reached(repository, file)
    assert "test engine" not in _reached(repository, "settings.yaml", "components/one/tests/test_one.py")


def test_the_delivery_of_a_small_project_is_reached_by_the_toolchain_and_what_ci_servers_read_is_compared(repository):
    suite = repository / "tests" / "delivery" / "test_flow.py"
    suite.parent.mkdir()
    suite.touch()
    for file in ("build/pipeyard/cli.py", "settings.yaml", "Makefile", "build/ci-source"):
        assert "test delivery" in _reached(repository, file), file
    assert "test delivery" not in _reached(repository, "components/two/src/two/step.py")
    for file in ("cloudbuild.yaml", "Jenkinsfile", ".github/workflows/a.yaml", "triggers/cloud-build/main.yaml"):
        assert _reached(repository, file) == {"test toolchain", "lint"}


def test_an_approval_reaches_deployments_alone(repository):
    reached = _reached(repository, "approvals/production/first-0123456789abcdef.yaml")
    assert reached == {f"deploy pipeline/{name}" for name in ("first", "second", "third")}


def test_a_spec_reaches_its_image_which_is_labelled_with_it(repository):
    assert {"image component/two", "test contracts"} <= _reached(repository, "components/two/component.yaml")


def test_settings_reach_pipelines_but_no_image(repository):
    reached = _reached(repository, "settings.yaml")
    assert {"compile pipeline/first", "deploy pipeline/third"} <= reached
    assert not [each for each in reached if each.startswith("image")]


def test_a_file_that_no_rule_knows_reaches_everything(repository):
    reached = _reached(repository, "Makefile")
    for file in ("components/one/Dockerfile", "components/two/src/two/step.py", "build/pipeyard/cli.py"):
        assert _reached(repository, file) <= reached


def test_a_new_component_is_picked_up_by_itself(repository):
    folder = repository / "components" / "three"
    (folder / "src").mkdir(parents=True)
    (folder / "component.yaml").write_text("name: three\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text(UV, encoding="utf-8")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY libs/stepkit/src /src\n", encoding="utf-8")
    assert "image component/three" in _reached(repository, "libs/stepkit/src/stepkit/cli.py")
    files = changes.changed_files(changes.git_of(repository), "HEAD")
    assert "components/three/component.yaml" in files  # untracked


def test_the_way_from_the_file_is_told(repository):
    (found,) = [
        each
        for each in dependency_graph.Graph(project.Project(repository)).reached(["images/tensorflow/Dockerfile"])
        if each.action == "deploy" and each.part == "pipeline/first"
    ]
    assert found.file == "images/tensorflow/Dockerfile"
    assert found.because == (
        "base/tensorflow",
        "image/component/one",
        "compile/pipeline/first",
    )


def test_only_what_this_branch_changed_counts(repository):
    git(repository, "switch", "-qc", "topic")
    (repository / "components/one/src/one/step.py").write_text("x = 1\n", encoding="utf-8")
    git(repository, "commit", "-qam", "topic")
    git(repository, "switch", "-q", "main")
    (repository / "settings.yaml").write_text("a: 1\n", encoding="utf-8")
    git(repository, "commit", "-qam", "main")
    git(repository, "switch", "-q", "topic")
    (repository / "components/two/src/two/step.py").unlink()
    assert changes.changed_files(changes.git_of(repository), "main") == [
        "components/one/src/one/step.py",
        "components/two/src/two/step.py",
    ]


def test_an_unknown_revision_is_named_with_a_remedy(repository):
    with pytest.raises(PipeyardError, match=r"'v9' and HEAD have no history in common.*git fetch"):
        changes.changed_files(changes.git_of(repository), "v9")


def test_the_command_prints_json_and_make_targets(repository):
    (repository / "components/one/tests/test_one.py").write_text("x = 1\n", encoding="utf-8")
    run = CliRunner().invoke(affected.command, ["--since", "HEAD", "--json", "--project", str(repository)])
    assert json.loads(run.stdout) == [
        {"action": "lint", "part": "", "file": "components/one/tests/test_one.py", "because": ["tests/one"]},
        {
            "action": "test",
            "part": "component/one",
            "file": "components/one/tests/test_one.py",
            "because": ["tests/one"],
        },
    ]
    run = CliRunner().invoke(affected.command, ["--since", "HEAD", "--suites", "--project", str(repository)])
    assert run.stdout.split() == ["lint", "test/component/one"]


def test_a_service_reaches_its_own_tests_and_the_suite_that_serves(repository):
    files = {
        "services/server/pyproject.toml": UV,
        "services/server/src/server/step.py": "",
        "services/server/tests/test_server.py": "",
        "services/router/pyproject.toml": "",
        "tests/serving/test_serving.py": 'component_programs.run(project, "one", [])',
    }
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text, encoding="utf-8")
    own, suite = "test service/server", "test serving"
    assert _reached(repository, "services/server/src/server/step.py") == {"lint", own, suite}
    assert _reached(repository, "services/server/tests/test_server.py") == {"lint", own}
    assert _reached(repository, "services/router/pyproject.toml") == {"lint", suite}
    assert {own, suite} <= _reached(repository, "libs/stepkit/src/stepkit/cli.py")
    assert suite in _reached(repository, "build/pipeyard/cli.py")
    # Of components, those that the suite runs.
    assert suite in _reached(repository, "components/one/src/one/step.py")
    assert suite not in _reached(repository, "components/two/src/two/step.py")
    assert _reached(repository, "services/gone/pyproject.toml") >= {suite}
