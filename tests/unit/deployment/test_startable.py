"""What is known when a pipeline is compiled is told then: before any step starts, nothing of a run is left."""

import shutil

import pytest
from support import trigger_projects
from support.compiled_pipelines import compiled
from support.fake_python import FakePython

from pipeyard import settings
from pipeyard.checks import checker
from pipeyard.compiling import compiler
from pipeyard.deployment.targets import local
from pipeyard.errors import PipeyardError
from pipeyard.local import runner
from pipeyard.packages import builds
from pipeyard.runs.record import State

HEAD = """
from pathlib import Path
from typing import Optional
from kfp import dsl, kubernetes
from pipeyard.component_store import ComponentStore
components = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"])
read = components.load_component("read")
foreign = components.load_component("foreign")
unlocked = components.load_component("unlocked")
bare = components.load_component("bare")

def _function(number: int) -> int:
    return number

light = dsl.component(base_image="python:3.11")(_function)
absent = dsl.component(base_image="python:3.99-slim")(_function)
unsaid = dsl.component(base_image="library/python:latest")(_function)
inside = dsl.component(base_image="tiny/read:dev")(_function)
without = dsl.component(base_image="python:3.11", install_kfp_package=False)(_function)
lost = dsl.component(base_image="python:3.11", packages_to_install=["nosuch==9"])(_function)

@dsl.pipeline
def _inner(source: Optional[str] = None):
    read(source=source)

@dsl.pipeline(name="whole")
"""
NONE_OF_OURS = "the image '{}' isn't one of this project's, so it can't run without a container engine. There are: "
FOREIGN = NONE_OF_OURS.format("host.io/acme/elsewhere:1")
LACKING = (
    "the parameter 'x' has no value, and '{}' can't start without one. Set it in settings.yaml or by --param x=..."
)
# The body of the pipeline, after a step that would run, to what is told.
REFUSED = {
    "another repository's image": ("(): foreign(source='s')", f"foreign: {FOREIGN}"),
    "a function of a Python that isn't here": (
        "(): absent(number=read(source='s').output)",
        "function: Python 3.99 isn't on this machine. Install it (`uv python install 3.99`)",
    ),
    "a function of some Python": (
        "(): unsaid(number=1)",
        "function: the image 'library/python:latest' doesn't say which Python 3 it has",
    ),
    "a function in a component's image": (
        "(): inside(number=1)",
        "function: its base_image is that of the component 'read', which has neither pip nor kfp to call the function "
        "'_function' with. Use base_image='python:3.11'",
    ),
    "a function without kfp": (
        "(): without(number=1)",
        "function: the function '_function' is called by kfp, which the image 'python:3.11' hasn't got.",
    ),
    "a package that no index has": (
        "(): lost(number=read(source='s').output)",
        "function: The packages of '_function' can't be installed in Python 3.11",
    ),
    "a secret that isn't declared": (
        "(): kubernetes.use_secret_as_env(read(source='s'), secret_name='db', secret_key_to_env={'a': 'A'})",
        "read: the Kubernetes secret 'db' isn't declared for runs here.",
    ),
    "in a loop": ("():\n  with dsl.ParallelFor(['a']) as i: foreign(source=i)", f"/foreign: {FOREIGN}"),
    "in an exit handler": (
        "():\n  with dsl.ExitHandler(foreign(source='s')): read(source='s')",
        f"foreign: {FOREIGN}",
    ),
    "no lock": ("(): unlocked(source='s')", "uv.lock is missing: it pins what"),
    "no pyproject.toml": ("(): bare(source='s')", "pyproject.toml is missing: it says what"),
    "a required parameter": ("(x: str): read(source=x)", "the parameter 'x' has no value. Set it in settings.yaml"),
    "an optional one": ("(x: Optional[str] = None): read(source=x)", LACKING.format("read")),
    "an optional one in a nested pipeline": ("(x: Optional[str] = None): _inner(source=x)", LACKING.format("inner")),
    "an optional one under a condition": (
        "(x: Optional[str] = None):\n  with dsl.If(read(source='s').output == 0): read(source=x)",
        LACKING.format("condition-1"),
    ),
}


@pytest.fixture
def project(tmp_path):
    made = trigger_projects.make(tmp_path, {"whole": {}})
    spec = (tmp_path / "components/read/component.yaml").read_text()
    for name, image in {
        "foreign": "host.io/acme/elsewhere:1",
        "unlocked": "tiny/unlocked",
        "bare": "tiny/bare",
    }.items():
        folder = tmp_path / "components" / name
        trigger_projects.write(
            folder / "component.yaml",
            spec.replace("name: read", f"name: {name}").replace("tiny/read:dev", image).replace("Integer", "String"),
        )
    trigger_projects.write(tmp_path / "components/unlocked/pyproject.toml", "")
    return made


@pytest.fixture
def start(project, monkeypatch, tmp_path):
    """Starts a run of a pipeline with a body, compiled in this process; returns it, and what it warned of."""
    python = FakePython(tmp_path / "python")
    monkeypatch.setenv("UV", str(python.uv))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "compile_apart", compiler.compile_pipeline)

    def run(body, parameters=None, **manner):
        _write(project, body)
        warned = []
        place = settings.load(project.root).environment("here")
        target = local.OnThisMachine(
            place, project, local.Manner(runner.Options(prestart=False), warn=warned.append, **manner)
        )
        return target.start("whole", parameters), warned

    return run


def _write(project, body):
    (project.root / "pipelines/whole/pipeline.py").write_text(f"{HEAD}def whole{body}\n")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_t_run_here_is_refused_before_any_step_starts(project, start, kind):
    body, told = REFUSED[kind]
    with pytest.raises(PipeyardError) as caught:
        start(body)
    assert told in str(caught.value)
    assert not list((project.root / "runs").glob("whole-*"))


def test_everything_that_keeps_a_run_from_starting_is_told_at_once(start):
    with pytest.raises(PipeyardError) as caught:
        start("(x: Optional[str] = None):\n  read(source=x)\n  foreign(source='s')\n  bare(source='s')")
    told = str(caught.value)
    assert LACKING.format("read") in told and f"foreign: {FOREIGN}" in told and "bare: " in told


def test_with_a_value_for_the_parameter_it_runs(start):
    ran, _ = start(REFUSED["an optional one in a nested pipeline"][0], {"x": "abc"})
    assert ran.record.state == State.SUCCEEDED


def test_a_step_that_only_runs_on_a_condition_is_warned_of(start):
    ran, warned = start("():\n  with dsl.If(read(source='s').output == 0): foreign(source='s')")
    assert ran.record.state == State.SUCCEEDED
    assert [each for each in warned if each.startswith(f"condition-1/foreign: {FOREIGN}")]


def test_a_function_runs_beside_components(start):
    ran, warned = start("(): light(number=read(source='abc').output)")
    assert ran.record.state == State.SUCCEEDED, ran.record.error
    told = {task.name: task.output_parameters for task in ran.record.tasks}
    assert told["function"] == {"Output": told["read"]["length"]}
    assert not warned


def test_a_function_on_a_condition_is_warned_of_if_its_packages_lack(start):
    ran, warned = start("():\n  with dsl.If(read(source='s').output == 0): lost(number=1)")
    assert ran.record.state == State.SUCCEEDED
    assert any(each.startswith("condition-1/function: The packages of '_function' can't") for each in warned)


def test_an_environment_s_secrets_reach_its_runs(project, start, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "open-sesame")
    here = {"target": "local", "pipeline_root": "${PROJECT_ROOT}/runs"}
    secrets = {"db": {"password": "${secret:DB_PASSWORD}"}}
    trigger_projects.configure(project.root, {}, here={**here, "secrets": secrets})
    body = "(): kubernetes.use_secret_as_env(read(source='s'), secret_name='db', secret_key_to_env={'password': 'A'})"
    ran, _ = start(body)
    assert ran.record.state == State.SUCCEEDED


def test_an_engine_may_have_any_image(project, start):
    hosts = runner.project_hosts(project)
    ran, _ = start(REFUSED["another repository's image"][0], hosts=lambda image: hosts("tiny/read:dev"))
    assert ran.record.state == State.SUCCEEDED


def _warnings(project, body, build=None):
    _write(project, body)
    return builds.package(project, "whole", build or builds.committed(project))[1]


def test_compile_warns_of_what_runs_here_in_containers_alone(project):
    told = _warnings(
        project, "():\n  light(number=1)\n  inside(number=1)\n  foreign(source='s')\n  unlocked(source='s')"
    )
    assert [each.partition(" ")[0] for each in told if "isn't one of this project's" in each] == ["foreign:"]
    assert [each.partition(":")[0] for each in told if "its base_image" in each] == ["function-2"]
    assert any(each.startswith("unlocked: ") and "uv.lock is missing" in each for each in told)
    shipped = builds.Build("c" * 40, {}, project.root / "components")
    assert not any("uv.lock" in each for each in _warnings(project, "(): unlocked(source='s')", shipped))


def test_compile_warns_of_a_parameter_that_no_environment_sets(project):
    (told, _) = _warnings(project, "(x: str): read(source=x)")
    assert told == "the parameter 'x' has no default, and no environment sets it: each run needs --param x=..."
    trigger_projects.configure(project.root, {"whole": {"parameters": {"x": "s"}}})
    assert len(_warnings(project, "(x: str): read(source=x)")) == 1


@pytest.mark.parametrize(("pipelines", "told"), [({"whole": {}}, True), ({}, True), ({"other": {}}, False)])
def test_compile_and_check_tell_of_a_server_whose_parameters_do_not_fit(project, pipelines, told):
    place = {"host": "https://kfp.example", "bucket": "gs://acme/p", "pipeline_root": "gs://acme/r"}
    dev = {"target": "kfp", **place, **({"pipelines": pipelines} if pipelines else {})}
    shutil.copytree(project.root / "pipelines/whole", project.root / "pipelines/other")
    trigger_projects.configure(project.root, {"whole": {"parameters": {"x": "s"}}}, dev=dev)
    found = [each for each in _warnings(project, "(x: str): read(source=x)") if "'x' has no value" in each]
    assert len(found) == told
    notes = []
    findings = list(checker._compiled(project, "whole", notes))  # all take minutes
    assert (len(findings), notes) == (told, [])
    assert all("Set it under environments.dev.pipelines.whole.parameters" in each.text for each in findings)


def test_check_notes_what_runs_here_in_containers_alone(project):
    _write(project, REFUSED["another repository's image"][0])
    notes = []
    assert not list(checker._compiled(project, "whole", notes))
    assert len(notes) == 1 and notes[0].startswith(f"pipelines/whole: foreign: {FOREIGN}")


def test_a_container_without_a_command_is_refused_when_it_is_compiled(tmp_path):
    body = """
@dsl.container_component
def _bare(x: str):
    return dsl.ContainerSpec(image="host.io/it", args=[x])
@dsl.pipeline
def p(): _bare(x='1')
"""
    with pytest.raises(PipeyardError, match="bare: it has no `command`, and the image's ENTRYPOINT is never used"):
        compiled(tmp_path, {}, body)
