"""`pipeyard check`: everything but a program's flags, each in a project that is wrong in one way."""

import json
import re

import pytest
from click.testing import CliRunner
from rich.console import Console
from support.contract_projects import ROOT, change, copy_of, stamp, whole_project, write

from pipeyard.checks import dockerfile_template, dry_run, generated, kfp_versions, readmes, spec_rules, wheels
from pipeyard.commands import check
from pipeyard.errors import PipeyardError
from pipeyard.local.display import Lines
from pipeyard.repository import venvs
from pipeyard.repository.dockerfiles import of_component
from pipeyard.repository.project import Component, Project, find
from pipeyard.runs.record import State
from pipeyard.scaffolds import new_component

NAME = "summarize"
FOLDER = f"components/{NAME}"
EXTRACT = "components/extract"
SPEC = f"{FOLDER}/component.yaml"
TARGET = wheels.WheelPlatform()
SETTINGS_WITHOUT_PIPELINES = "environments: {check: {target: local, pipeline_root: runs}}\n"
SHAPELESS = """\
name: shape
metadata: {annotations: {pipeyard.dev/output-types: '[1]', pipeyard.dev/preload: '["a'}}
inputs: [a]
implementation: {container: {image: x}}
"""


@pytest.fixture(scope="session")
def uv():
    return venvs.uv(find(ROOT))


@pytest.fixture
def project(tmp_path, monkeypatch, uv):
    monkeypatch.setenv("UV", uv)
    return copy_of(tmp_path, NAME)


@pytest.fixture
def whole(tmp_path, monkeypatch, uv):
    monkeypatch.setenv("UV", uv)
    return whole_project(tmp_path)


def _check(root, *arguments):
    """Returns exit code and report of the command."""
    done = CliRunner().invoke(check.command, [*arguments, "--json", "--project", str(root)], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.return_value, json.loads(done.stdout)


def _interface(project):
    return [f"{each.check}: {each.text}" for each in spec_rules.findings(Project(project.root).components[NAME], "c")]


def test_this_repository_has_nothing_to_mend():
    """Its dry run is `make test`'s: it takes a minute when all is new."""
    code, report = _check(ROOT, "--no-run")
    assert not report["findings"]
    assert code == 0
    assert report["components"] == sorted(find(ROOT).components)
    assert report["pipelines"] == sorted(find(ROOT).pipelines)


def test_all_that_is_found_is_told_at_once(whole):
    change(whole.root / f"{FOLDER}/src/summarize/cli.py", '"--run-id"', '"--run"')
    change(whole.root / f"{FOLDER}/pyproject.toml", "base-image", "by-hand")
    change(whole.root / f"{FOLDER}/Dockerfile", "FROM ${TOOLS_IMAGE} AS tools", "FROM python:3.11-slim AS tools")
    change(whole.root / SPEC, "Id of the run", "Its id")
    change(whole.root / f"{FOLDER}/pyproject.toml", "pytest>=8.3", "pytest>=8.4")
    stamp(whole.root / FOLDER)
    code, report = _check(whole.root)
    assert code == 1
    assert {(each["part"], each["check"]) for each in report["findings"]} == {
        (FOLDER, "base"),
        (FOLDER, "flags"),
        (FOLDER, "locks"),
        (FOLDER, "readme"),
    }
    assert all(each["problem"] and each["remedy"] for each in report["findings"])
    assert report["notes"] == ["The dry run waits until this is mended."]
    done = CliRunner().invoke(check.command, [NAME, "--fix", "--no-run", "--project", str(whole.root)])
    lines = done.stdout.splitlines()
    assert lines[0] == FOLDER
    assert [line.partition(":")[0] for line in lines[1:-1]] == ["  base", "  flags", "  flags", "  locks"]
    assert lines[-1] == "1 component, 1 pipeline: 4 findings."
    assert "| `run_id` | String | required | Its id |" in (whole.root / FOLDER / "README.md").read_text()


def test_a_name_that_is_no_components(whole):
    with pytest.raises(PipeyardError, match="No component 'summarise'. Did you mean 'summarize'"):
        _check(whole.root, "summarise")


def test_a_spec_that_can_t_be_read_hides_nothing_else(whole):
    change(whole.root / SPEC, "name: summarize\n", "name: summary\n")
    write(whole.root / "components/graph/component.yaml", "name: graph\nimplementation: {graph: {}}\n")
    write(whole.root / "components/shape/component.yaml", SHAPELESS)
    write(whole.root / "components/unspecified/pyproject.toml", "")
    _, report = _check(whole.root, "--no-run")
    told = {each["part"]: each["problem"] for each in report["findings"] if each["check"] == "spec"}
    assert told[FOLDER].endswith("is named 'summary'; name it 'summarize', as its folder is.")
    assert told["components/graph"] == "component.yaml has no implementation.container"
    assert {each["problem"] for each in report["findings"] if each["part"] == "components/shape"} == {
        "not all inputs in component.yaml have a name",
        "the annotation pipeyard.dev/output-types is no JSON object",
        "the annotation pipeyard.dev/preload is no JSON",
    }
    assert told["components/unspecified"] == "it has no component.yaml"


def test_files_that_are_missing_or_broken_hide_nothing_else(whole):
    (whole.root / EXTRACT / "uv.lock").unlink()
    (whole.root / EXTRACT / "Dockerfile").unlink()
    write(whole.root / FOLDER / "pyproject.toml", "[project\n")
    stamp(whole.root / FOLDER)
    (whole.root / FOLDER / "README.md").unlink()
    write(whole.root / "pipelines/one/pipeline.py", "1 +")
    _, report = _check(whole.root, "extract", NAME)
    told = {(each["part"], each["check"]) for each in report["findings"]}
    assert {(EXTRACT, "locks"), (EXTRACT, "base")} <= told
    assert {(FOLDER, "locks"), (FOLDER, "flags"), (FOLDER, "readme"), ("pipelines/one", "compile")} <= told


# -- outputs ----------------------------------------------------------------------------------------------------------


def _dry_run(project, names=("extract", NAME), notes=None):
    display = Lines(Console(quiet=True))
    found = dry_run.findings(project, names, display, [] if notes is None else notes)
    return [(each.part, each.text) for each in found]


def test_a_dry_run_writes_every_output_and_isnt_repeated(whole):
    assert not _dry_run(whole)
    (run,) = (whole.root / "runs").glob("*/run.json")
    assert {task["state"] for task in json.loads(run.read_text())["tasks"]} == {State.SUCCEEDED}
    outputs = sorted(run.parent.glob("**/outputs/*"))
    assert {"examples", "manifest", "row_count", "summary", "outcome"} < {path.name for path in outputs}
    wrote = [path.stat().st_mtime_ns for path in outputs]
    assert not _dry_run(whole)
    assert list((whole.root / "runs").glob("*/run.json")) == [run]
    assert [path.stat().st_mtime_ns for path in outputs] == wrote


def test_a_missing_output(whole):
    assert not _dry_run(whole)  # what was known of it doesn't count any more
    change(whole.root / f"{EXTRACT}/src/extract/step.py", "outputs.parameter(args.row_count, ", "print(")
    change(whole.root / f"{EXTRACT}/Dockerfile", "FROM ${TOOLS_IMAGE} AS tools", "FROM python:3.11-slim AS tools")
    code, report = _check(whole.root)
    assert code == 1
    base, rendered, found = report["findings"]
    assert [base["check"], rendered["check"]] == ["base", "dockerfile"]  # which is no reason not to run it
    assert (found["part"], found["check"]) == (EXTRACT, "outputs")
    assert found["problem"] == (
        "in the dry run of one, extract failed: it ended well but did not write its outputs row_count"
    )


def test_an_empty_output(whole):
    change(
        whole.root / f"{EXTRACT}/src/extract/step.py",
        "outputs.file(args.manifest).write_text(text,",
        "outputs.file(args.manifest).write_text('',",
    )
    (found,) = _dry_run(whole)
    assert found[0] == EXTRACT
    assert "it wrote nothing into its outputs manifest. Write them," in found[1]


def test_a_component_that_no_dry_run_gets_to(whole):
    path = whole.root / "pipelines/one/pipeline.py"
    change(path, '("extract", "summarize")', '("summarize")')
    change(
        path,
        'components.extract(source=source).outputs["examples"]',
        "dsl.importer(artifact_uri=source, artifact_class=dsl.Dataset)",
    )
    notes = []
    assert not _dry_run(whole, notes=notes)
    (note,) = notes
    assert re.fullmatch(
        f"{EXTRACT}: no dry run shows that it writes its outputs: on made-up values it failed: .*'text'.* "
        "Load it in a pipeline that settings.yaml has under environments.check.pipelines.",
        note,
        re.DOTALL,
    )


def _lock_of(folder, _uv):
    (folder / "uv.lock").write_text((ROOT / FOLDER / "uv.lock").read_text())


def test_a_new_component_need_be_told_to_nothing_it_is_run_by_itself(whole):
    new_component.write(whole, "say", ["text:String"], ["result:String", "page:HTML"], lambda _: None, _lock_of)
    folder = whole.root / "components/say"
    (folder / ".venv").mkdir()
    for each in (ROOT / FOLDER / ".venv").iterdir():
        if each.name != venvs.STAMP:
            (folder / ".venv" / each.name).symlink_to(each)
    stamp(folder)
    notes = []
    assert not _dry_run(Project(whole.root), ["say"], notes)
    assert not notes
    (record,) = (whole.root / "runs").glob("check-of-say/run.json")
    assert json.loads(record.read_text())["tasks"][0]["output_parameters"]["result"] == '{"text": "text"}'
    change(folder / "src/say/cli.py", "outputs.parameter(args.result, computed.result)", "print(computed.result)")
    (found,) = _dry_run(Project(whole.root), ["say"])
    assert found[0] == "components/say"
    assert "the dry run of say alone, say failed: it ended well but did not write its outputs result" in found[1]


@pytest.mark.parametrize("name", ["transform", NAME])
def test_what_only_a_pipeline_has_isn_t_made_up(whole, name):
    spec = f"components/{name}/component.yaml"
    write(whole.root / spec, (ROOT / spec).read_text())
    write(whole.root / "settings.yaml", SETTINGS_WITHOUT_PIPELINES)
    notes = []
    assert not _dry_run(Project(whole.root), [name], notes)
    assert notes[0].startswith(f"components/{name}: no dry run shows that it writes its outputs: what it takes, only a")


def test_a_component_behind_a_condition_that_did_not_hold(whole):
    path = whole.root / "pipelines/one/pipeline.py"
    change(path, "        examples =", '        with dsl.If(source == "x"):\n            examples =')
    (found,) = _dry_run(whole)
    assert found[0] == EXTRACT
    assert "the dry run of one did not get to it: not so: " in found[1]
    assert "Set parameters in environments.check of settings.yaml" in found[1]


# -- pipelines --------------------------------------------------------------------------------------------------------


def test_an_edge_of_the_wrong_meaning(whole):
    for name in ("data_validation", "transform"):
        spec = f"components/{name}/component.yaml"
        write(whole.root / spec, (ROOT / spec).read_text())
    path = whole.root / "pipelines/one/pipeline.py"
    change(path, '"summarize")', '"summarize", "data_validation", "transform")')
    with path.open("a") as stream:
        stream.write(
            "        validation = components.data_validation(examples=examples)\n"
            "        components.transform(examples=examples, schema=validation.outputs['schema'])\n"
        )
    assert _check(whole.root, NAME, "--no-run")[0] == 0
    change(path, "validation.outputs['schema']", "validation.outputs['anomalies']")
    code, report = _check(whole.root, NAME, "--no-run")
    assert code == 1
    (found,) = report["findings"]
    assert (found["part"], found["check"]) == ("pipelines/one", "compile")
    assert "data-validation.anomalies is ExampleAnomalies, but transform.schema takes Schema." in found["problem"]


# -- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("FROM ${TOOLS_IMAGE} AS tools", "FROM python:3.11-slim AS tools", "python:3.11-slim"),
        ("FROM ${TOOLS_IMAGE} AS tools", "ARG BASE=python:3.11\nFROM ${BASE} AS tools", "${BASE}"),
        ("COPY libs/stepkit/src", "COPY --from=host/uv:1 /uv /uv\nCOPY libs/stepkit/src", "host/uv:1"),
    ],
)
def test_an_unpinned_base(project, old, new, told):
    assert not of_component(project, NAME).unpinned
    change(project.root / f"{FOLDER}/Dockerfile", old, new)
    assert of_component(Project(project.root), NAME).unpinned == [told]


# -- what a spec says by itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("pipeyard/summarize:dev", "pipeyard/summary:dev", "names: its image is called 'summary'. Call it 'summarize'"),
        ("[python, -m, summarize]", "[python, -m, summary]", "names: its command is ['python', '-m', 'summary']"),
        ("    command: [python, -m, summarize]\n", "", "spec: it has no `command`"),
        ("    args:\n", "    env: {A: b}\n    args:\n", "spec: its container has env"),
        ("- --run-id\n", "- --run\n", "flags: the input run_id is passed by --run. Pass it by --run-id."),
        (
            "    - --run-id\n    - {inputValue: run_id}\n",
            "",
            "flags: args pass the input run_id never. Pass it once.",
        ),
        ("{inputValue: run_id}", "{inputValue: run}", "flags: args pass 'run', which the spec doesn't declare."),
        ("{inputValue: run_id}", "{inputPath: run_id}", "types: the input run_id is of type String, but passed by"),
        ("{outputPath: summary}", "{outputUri: summary}", "types: the output summary is of type Markdown, but passed"),
        ("default: '', optional: true, description: 'Base", "default: '', description: 'Base", "required: the input"),
        ("{name: serving_uri, type: String, default: '',", "{name: serving_uri, type: String,", "required: the input"),
        ("type: String, description: 'Id of the run'", "description: 'Id of the run'", "spec: the input run_id has no"),
        (
            "{name: serving_uri, type: String, default: '',",
            "{name: serving_uri, type: String, default: no,",
            "spec: the default of input 'serving_uri' is no in line",
        ),
        ('{"summary": "RunSummary"}', "{}", "spec: nothing says what the artifact summary means"),
    ],
)
def test_specs_that_break_a_rule(project, old, new, told):
    assert not _interface(project)
    change(project.root / SPEC, old, new)
    assert any(each.startswith(told) for each in _interface(project)), _interface(project)


def _loads(project, version):
    path = project.root / SPEC
    loaded = kfp_versions.load_2(path) if version == "2" else kfp_versions.load_1(project.root, [path])[0]
    component = Component(path.parent)
    return [each.text for each in kfp_versions.findings(component, "c", version, loaded)]


def test_a_spec_that_kfp_2_renames(project):
    change(project.root / SPEC, "name: run_id,", "name: Run id,")
    change(project.root / SPEC, "{inputValue: run_id}", "{inputValue: Run id}")
    (found,) = _loads(project, "2")
    assert found.startswith("kfp 2 calls its inputs ['model_name', 'pipeline', 'run_id', ")


def test_a_spec_that_neither_kfp_loads(whole):
    project = whole
    venvs.sync(find(ROOT), ROOT / kfp_versions.KFP_1)
    assert not _loads(project, "1")
    change(project.root / SPEC, "inputs:\n", "inputs:\n- {name: a, type: String, of: b}\n")
    for version in ("1", "2"):
        (found,) = _loads(project, version)
        assert found.startswith(f"kfp {version} can't load the spec (")


# -- what is generated ------------------------------------------------------------------------------------------------


def test_a_stale_readme_is_told_or_rewritten(project):
    change(project.root / SPEC, "Id of the run", "Its id")
    component = Component(project.root / FOLDER)
    (found,) = generated.stale_files("c", "readme", readmes.of_component(component), fix=False)
    assert found.text == "README.md isn't as it is rendered now. Run with --fix."
    assert not list(generated.stale_files("c", "readme", readmes.of_component(component), fix=True))
    assert not list(generated.stale_files("c", "readme", readmes.of_component(component), fix=False))


def test_a_dockerfile_that_was_changed_by_hand_is_told_or_rendered_anew(project):
    change(project.root / f"{FOLDER}/Dockerfile", "USER 65532\nRUN", "RUN")
    wanted = dockerfile_template.of_component(project, project.components[NAME])
    (found,) = generated.stale_files("c", "dockerfile", wanted, fix=False)
    assert found.text == "Dockerfile isn't as it is rendered now. Run with --fix."
    assert not list(generated.stale_files("c", "dockerfile", wanted, fix=True))
    assert (project.root / f"{FOLDER}/Dockerfile").read_text() == (ROOT / f"{FOLDER}/Dockerfile").read_text()


def test_a_dockerfile_is_its_own_where_no_base_image_is_named(project):
    change(project.root / f"{FOLDER}/pyproject.toml", "base-image", "other-key")
    component = Component(project.root / FOLDER)
    assert not dockerfile_template.of_component(Project(project.root), component)


def test_a_template_that_is_gone_is_told(project):
    (project.root / dockerfile_template.TEMPLATE).unlink()
    with pytest.raises(PipeyardError, match="component.Dockerfile.j2 is missing. Restore it"):
        dockerfile_template.of_component(Project(project.root), Component(project.root / FOLDER))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("pytest>=8.3", "pytest>=8.4", "requirements have changed since it was made"),
        ('dependencies = ["stepkit"]', 'dependencies = ["stepkit", "idna"]', "requirements have changed"),
        ('registry = "."', 'registry = "https://index.example/simple"', "it names a package index"),
        (None, None, "it is missing"),
    ],
)
def test_a_stale_lock_is_told_without_a_network(project, uv, monkeypatch, tmp_path, old, new, told):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    folder = project.root / FOLDER
    assert not list(generated.stale_lock("c", folder, uv))
    if old is None:
        (folder / "uv.lock").unlink()
    else:
        change(folder / ("uv.lock" if "registry" in old else "pyproject.toml"), old, new)
    (found,) = generated.stale_lock("c", folder, uv)
    assert found.problem.startswith(f"uv.lock doesn't fit pyproject.toml: {told}")


def test_a_pyproject_that_can_t_be_read(project, uv):
    write(project.root / FOLDER / "pyproject.toml", "[project\n")
    with pytest.raises(PipeyardError, match="(?s)can't be checked: .*TOML parse error"):
        list(generated.stale_lock("c", project.root / FOLDER, uv))


# -- wheels -----------------------------------------------------------------------------------------------------------


def _misfits(project, uv, target=TARGET):
    return [each.text for each in wheels.findings(project.root / FOLDER, "c", uv, target)]


def test_a_wheel_that_needs_a_newer_c_library(project, uv):
    assert not _misfits(project, uv)
    lock = project.root / FOLDER / "uv.lock"
    text = lock.read_text()
    newer = re.sub(r'(path = "cffi-[^"]*-)manylinux[^"]*_x86_64\.whl', r"\1manylinux_2_39_x86_64.whl", text)
    assert newer != text
    lock.write_text(newer)
    target = wheels.target_of("python:3.11-slim")
    (found,) = _misfits(project, uv, target)
    assert re.match(
        r"cffi \S+ has no wheel for python:3.11-slim \(Python 3.11, glibc 2.36, x86_64\); it has .*"
        r"cp311-cp311-manylinux_2_39_x86_64",
        found,
    )
    assert not _misfits(project, uv, wheels.target_of("python:3.11-slim-trixie"))


def test_a_package_with_nothing_to_install(project, uv):
    lock = project.root / FOLDER / "uv.lock"
    text = lock.read_text()
    start = text.index('[[package]]\nname = "idna"')
    end = text.index("[[package]]", start + 1)
    lock.write_text(text[:start] + re.sub(r"sdist = .*\n|wheels = \[\n(.*\n)*?\]\n", "", text[start:end]) + text[end:])
    (found,) = _misfits(project, uv)
    assert "has neither a wheel nor a source distribution" in found


def test_a_lock_for_another_python(project, uv):
    (found,) = _misfits(project, uv, wheels.target_of("host:5000/python:3.12.4-slim-bookworm@sha256:0"))
    assert found.startswith(
        "its lock is for Python ==3.11.*, but host:5000/python:3.12.4-slim-bookworm@sha256:0 has 3.12"
    )


@pytest.mark.parametrize(
    ("wheel", "fits"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", True),
        ("a-1-cp39-abi3-manylinux_2_36_x86_64.whl", True),
        ("a-1-cp311-cp311-manylinux_2_37_x86_64.whl", False),
        ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("a-1-cp311-cp311-manylinux2014_aarch64.whl", False),
        ("a-1-cp312-cp312-manylinux2014_x86_64.whl", False),
        ("a-1-cp312-abi3-manylinux2014_x86_64.whl", False),
        ("a-1-cp311-cp311-macosx_11_0_x86_64.whl", False),
    ],
)
def test_which_wheels_fit(wheel, fits):
    assert bool(wheels.parse_wheel_filename(wheel)[3] & TARGET.tags) is fits


@pytest.mark.parametrize(
    ("image", "python", "glibc"),
    [
        ("python:3.11-slim", (3, 11), 36),
        ("host/python:3.12.1-bullseye", (3, 12), 31),
        ("python:3.11-trixie", (3, 11), 41),
        ("other/base:1", (3, 11), 36),
        ("", (3, 11), 36),
    ],
)
def test_what_an_image_s_name_tells(image, python, glibc):
    target = wheels.target_of(image)
    assert (target.python, target.glibc) == (python, glibc)
