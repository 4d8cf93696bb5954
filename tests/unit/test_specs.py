"""Every component.yaml is one that KFP 1 and KFP 2 users can load, and keeps to the portable subset."""

import json
import subprocess
from pathlib import Path

import pytest
from kfp import components

from pipeyard import environments, project

ROOT = Path(__file__).parents[2]
PROJECT = project.find(ROOT)
COMPONENTS = sorted(PROJECT.components)
VALUES = {"String", "Integer", "Float", "Boolean", "JsonArray", "JsonObject", "PipelineTaskFinalStatus"}


@pytest.mark.parametrize("name", COMPONENTS)
def test_kfp_2_loads_it_with_its_interface(name):
    loaded = components.load_component_from_file(str(ROOT / "components" / name / "component.yaml"))
    spec = PROJECT.components[name].spec
    assert set(loaded.component_spec.inputs) == {each["name"] for each in spec["inputs"]}
    assert set(loaded.component_spec.outputs) == {each["name"] for each in spec["outputs"]}


def test_kfp_1_loads_all_of_them():
    folder = ROOT / "tests/kfp1"
    environments.sync(PROJECT, folder)
    program = (
        "import json, sys; from kfp import components\n"
        "loaded = [components.load_component_from_file(path).component_spec for path in sys.argv[1:]]\n"
        "print(json.dumps({c.name: [[i.name for i in c.inputs], [o.name for o in c.outputs]] for c in loaded}))"
    )
    paths = [str(ROOT / "components" / name / "component.yaml") for name in COMPONENTS]
    python = environments.folder_of(folder) / "bin/python"
    done = subprocess.run([python, "-c", program, *paths], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    for name in COMPONENTS:
        spec = PROJECT.components[name].spec
        assert loaded[name] == [[each["name"] for each in spec[side]] for side in ("inputs", "outputs")]


@pytest.mark.parametrize("name", COMPONENTS)
def test_it_keeps_to_the_portable_subset(name):
    component = PROJECT.components[name]
    spec = component.spec
    container = spec["implementation"]["container"]
    assert container["command"] == ["python", "-m", name]
    assert container["image"] == f"pipeyard/{name}:dev"
    assert set(container) == {"image", "command", "args"}
    assert "fileOutputs" not in str(spec)
    assert "concat" not in str(spec).lower()
    for each in spec["inputs"] + spec["outputs"]:
        assert each["type"], each
        assert each["description"], each
    for each in spec["inputs"]:
        assert ("default" in each) <= bool(each.get("optional")), each


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_artifact_says_what_it_means(name):
    component = PROJECT.components[name]
    for side, key in (("inputs", "input-types"), ("outputs", "output-types")):
        artifacts = {each["name"] for each in component.spec[side] if each["type"] not in VALUES}
        assert artifacts <= set(component.annotation(key, {})), side


@pytest.mark.parametrize("name", COMPONENTS)
def test_its_arguments_are_its_interface(name):
    """Each input and output is passed once, by the flag that is called like it."""
    spec = PROJECT.components[name].spec
    args = spec["implementation"]["container"]["args"]
    passed = {
        flag: next(iter(value.values()))
        for flag, value in zip(args[::2], args[1::2], strict=True)
        if isinstance(value, dict)
    }
    declared = [each["name"] for each in spec["inputs"] + spec["outputs"]]
    assert passed == {f"--{each.replace('_', '-')}": each for each in declared}
    by_value = {next(iter(v.values())) for v in args[1::2] if isinstance(v, dict) and "inputValue" in v}
    assert by_value == {each["name"] for each in spec["inputs"] if each["type"] in VALUES}


@pytest.mark.parametrize("name", COMPONENTS)
def test_its_program_takes_those_flags_with_those_defaults(name):
    """Asks the program itself, in its own environment, without running a step."""
    component = PROJECT.components[name]
    program = (
        f"import json; from {name}.cli import build_parser\n"
        "flags = {a.option_strings[0]: [a.required, a.default] for a in build_parser()._actions if a.dest != 'help'}\n"
        "print(json.dumps(flags))"
    )
    python = environments.folder_of(component.folder) / "bin/python"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    flags = json.loads(done.stdout)
    spec = component.spec
    declared = {f"--{each['name'].replace('_', '-')}": each for each in spec["inputs"] + spec["outputs"]}
    assert set(flags) == {*declared, "--executor-input"}
    for flag, each in declared.items():
        required, default = flags[flag]
        if "default" in each:
            typed = each["default"] if each["type"] == "String" else json.loads(each["default"])
            assert (required, default) == (False, typed), flag
