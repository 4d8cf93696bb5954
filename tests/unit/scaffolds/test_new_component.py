"""A scaffolded component: what is written keeps all rules and runs, and nothing is half-written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import contract_projects, scratch_git

from pipeyard.checks import generated, kfp_versions, readmes, spec_rules
from pipeyard.checks.dockerfile_template import of_component
from pipeyard.ci import rendered_files
from pipeyard.errors import PipeyardError
from pipeyard.repository.project import Component, Project
from pipeyard.scaffolds import new_component

ROOT = contract_projects.ROOT
EVERY_INPUT = [*(f"a_{kind.lower()}:{kind}" for kind in new_component.VALUES), "rows:Dataset"]
DEFAULTS = [
    "text:String=it's",
    "n:Integer=3",
    "x:Float=0.5",
    "flag:Boolean=true",
    'items:JsonArray=["a"]',
    "o:JsonObject={}",
]
EVERY_OUTPUT = [*(f"b_{kind.lower()}:{kind}" for kind in new_component.VALUES), "page:HTML"]
PORTS = [((), ()), (EVERY_INPUT, EVERY_OUTPUT), (DEFAULTS, ["n_of:Integer"]), ((), ["page:HTML"])]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return contract_projects.copy_of(tmp_path_factory.mktemp("scaffolds"), "summarize")


@pytest.fixture(autouse=True)
def no_uv(monkeypatch) -> None:
    """Locks are made here without uv: `lock`."""
    monkeypatch.setenv("UV", "uv")


def lock(folder: Path, _uv: str) -> None:
    """Locks as uv does, which has the same packages for the same requirements: summarize's."""
    text = (ROOT / "components/summarize/uv.lock").read_text(encoding="utf-8")
    (folder / "uv.lock").write_text(text.replace('name = "summarize"', f'name = "{folder.name}"'), encoding="utf-8")


def write(project: Project, name: str, inputs=(), outputs=()) -> list[Path]:
    return new_component.write(project, name, inputs, outputs, lambda _: None, lock)


@pytest.mark.parametrize(("number", "ports"), list(enumerate(PORTS)))
def test_it_keeps_every_rule_and_its_tests_pass(project, number, ports):
    name = f"{'az'[number % 2]}_new_{number}"  # before stepkit among the imports, and behind it
    written = write(project, name, *ports)
    component = Component(project.root / "components" / name)
    assert {path.name for path in written} >= {"component.yaml", "uv.lock", "Dockerfile", "cli.py", "README.md"}
    assert not [*spec_rules.malformed(component, ""), *spec_rules.findings(component, "")]
    loaded = kfp_versions.load_2(component.folder / "component.yaml")
    assert not list(kfp_versions.findings(component, "", "2", loaded))
    for wanted in (readmes.of_component(component), readmes.of_project(Project(project.root))):
        assert not list(generated.stale_files("", "readme", wanted, False))
    assert not list(generated.stale_files("", "dockerfile", of_component(project, component), False))
    environment = {**os.environ, "PYTHONPATH": str(component.folder / "src")}
    python = ROOT / "components/summarize/.venv/bin/python"
    own = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", component.folder]
    done = subprocess.run(own, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in (["check", "--no-cache"], ["format", "--diff", "--no-cache"]):
        rules = ["--config", str(ROOT / "pyproject.toml"), str(component.folder)]
        done = subprocess.run([ruff, *command, *rules], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_what_ci_servers_read_allows_it_its_time_and_what_is_somebody_s_own_stays(tmp_path):
    made = contract_projects.copy_of(tmp_path, "summarize")
    scratch_git.git(made.root, "init", "--quiet")
    (made.root / "settings.yaml").write_text("environments: {}\n", encoding="utf-8")
    (before,) = rendered_files.expected(made, rendered_files.GITHUB).items()
    path = made.root / before[0]
    path.parent.mkdir(parents=True)
    path.write_text(before[1], encoding="utf-8")
    (made.root / "Jenkinsfile").write_text("theirs", encoding="utf-8")
    assert path in write(made, "a_listed")
    assert path.read_text(encoding="utf-8") != before[1]
    assert not rendered_files.stale(Project(made.root), rendered_files.GITHUB)
    assert (made.root / "Jenkinsfile").read_text(encoding="utf-8") == "theirs"


def test_an_existing_name_is_refused_and_left_as_it_is(project):
    folder = project.root / "components/summarize"
    before = (folder / "component.yaml").read_bytes()
    with pytest.raises(PipeyardError, match="components/summarize is there already"):
        write(project, "summarize")
    assert (folder / "component.yaml").read_bytes() == before


def test_a_name_that_hides_another_package_is_refused(project):
    with pytest.raises(PipeyardError, match="'queue' is another package's name, which it would hide"):
        write(project, "queue")
    assert not (project.root / "components/queue").exists()


def test_where_no_lock_can_be_made_nothing_is_written(project):
    def fail(folder: Path, _uv: str) -> None:
        raise PipeyardError(f"{folder} can't be locked")

    before = sorted(path.name for path in (project.root / "components").iterdir())
    with pytest.raises(PipeyardError, match="can't be locked"):
        new_component.write(project, "unlocked", (), (), lambda _: None, fail)
    assert sorted(path.name for path in (project.root / "components").iterdir()) == before


@pytest.mark.parametrize(
    ("text", "side", "message"),
    [
        ("rows", "input", "isn't NAME:TYPE or NAME:TYPE=DEFAULT"),
        ("Rows:Integer", "input", "Write the name in lower case"),
        ("rows:integer", "input", "the type is written Integer"),
        ("rows:int", "input", "the type is written Integer"),
        ("told:dict", "output", "the type is written JsonObject"),
        ("status:PipelineTaskFinalStatus", "input", "only tasks of exit handlers are given it"),
        ("rows:Integer=many", "input", "'many' is no Integer"),
        ("rows:Integer=true", "input", "'true' is no Integer"),
        ("flag:Boolean=1", "input", "'1' is no Boolean"),
        ("rows:Dataset=x", "input", "Dataset is an artifact, which has no default"),
        ("rows:Integer=3", "output", "isn't NAME:TYPE, as"),
        ("executor_input:String", "input", "every program has something called 'executor_input'"),
        ("class:String", "output", "every program has something called 'class'"),
        ("type:String", "input", "every program has something called 'type'"),
    ],
)
def test_what_is_no_input_or_output_is_told(text, side, message):
    with pytest.raises(PipeyardError, match=message):
        new_component.port(text, side)


def test_a_name_is_one_input_s_or_output_s(project):
    with pytest.raises(PipeyardError, match="rows is there twice"):
        write(project, "twice", ["rows:Integer"], ["rows:Dataset"])
