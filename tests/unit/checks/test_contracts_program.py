"""`pipeyard check`: a spec against the program it starts."""

import pytest
from support.contract_projects import change, copy_of, tiny

from pipeyard.checks import program
from pipeyard.checks.arguments import Passed, passed
from pipeyard.errors import PipeyardError

CLI = "components/summarize/src/summarize/cli.py"
SPEC = "components/summarize/component.yaml"


def _found(component):
    return [f"{each.check}: {each.text}" for each in program.findings(component, "c")]


def _tiny(tmp_path, kind, argument, more="", **spec):
    """Returns what is found where one input of a type meets one argument."""
    given = "".join(f", {key}: {value}" for key, value in spec.items())
    inputs = f"[{{name: x, type: {kind}{given}}}]"
    return _found(tiny(tmp_path, inputs, "[--x, {inputValue: x}]", f"parser.add_argument({argument})", more))


@pytest.fixture
def project(tmp_path):
    return copy_of(tmp_path, "summarize")


def test_summarize_agrees_with_its_spec(project):
    assert not _found(project.components["summarize"])


def test_a_renamed_flag(project):
    change(project.root / CLI, '"--run-id"', '"--run"')
    assert _found(project.components["summarize"]) == [
        "flags: the spec passes --run-id, which the program doesn't have. Call it alike in both. "
        "Did you mean '--run'? There are: '--executor-input', '--model-name', '--outcome', '--pipeline', '--run', "
        "'--serving-uri', '--status', '--summary'.",
        "flags: the program requires --run, which the spec never passes. "
        "Pass it in the spec's args, or make it optional.",
    ]


def test_an_abbreviation_is_no_flag(project):
    """argparse would take it, until a second flag begins so."""
    change(project.root / SPEC, "- --serving-uri", "- --serving")
    (found,) = _found(project.components["summarize"])
    assert "passes --serving, which" in found


@pytest.mark.parametrize("where", ["spec", "program"])
def test_a_changed_default(project, where):
    if where == "spec":
        change(
            project.root / SPEC,
            "{name: model_name, type: String, default: ''",
            "{name: model_name, type: String, default: taxi",
        )
        told = "--model-name: the default is 'taxi' in the spec, '' in the program"
    else:
        change(project.root / CLI, '"--model-name", default=""', '"--model-name", default="taxi"')
        told = "--model-name: the default is '' in the spec, 'taxi' in the program"
    assert _found(project.components["summarize"]) == [f"defaults: {told}. Make them the same."]


def test_required_and_optional_disagree(project):
    change(project.root / CLI, '"--pipeline", required=True', '"--pipeline", default="p"')
    change(project.root / CLI, '"--serving-uri", default=""', '"--serving-uri", required=True')
    first, second = _found(project.components["summarize"])
    assert first.startswith(
        "required: --pipeline is optional in the program (default 'p'), but the input pipeline is required."
    )
    assert second.startswith(
        "required: --serving-uri is required by the program, but the input serving_uri is optional."
    )


def test_a_value_that_may_be_missing_needs_a_flag_that_can_stand_alone(project):
    change(project.root / CLI, 'nargs="?",', "")
    change(project.root / CLI, 'const="",', "")
    (found,) = _found(project.components["summarize"])
    assert found.startswith(
        "required: --status stands alone when the optional input has no value, which the program refuses "
        "(argument --status: expected one argument)."
    )


JSON = "import json"


@pytest.mark.parametrize(
    ("kind", "argument", "more"),
    [
        ("Integer", '"--x", type=lambda text: int(float(text)), required=True', ""),
        ("Float", '"--x", type=float, required=True', ""),
        ("Boolean", '"--x", type=lambda text: text.lower() == "true", required=True', ""),
        ("JsonArray", '"--x", type=json.loads, required=True', JSON),
        ("JsonObject", '"--x", type=json.loads, required=True', JSON),
        ("String", '"--x", required=True', ""),
        ("String", '"--x", type=pathlib.Path, required=True', "import pathlib"),
        ("String", '"--x", choices=("a", "b"), required=True', ""),
        ("Integer", '"--x", type=int, choices=range(2, 500), required=True', ""),
    ],
)
def test_types_that_agree(tmp_path, kind, argument, more):
    assert not _tiny(tmp_path, kind, argument, more)


@pytest.mark.parametrize(
    ("kind", "argument", "told"),
    [
        ("Integer", '"--x", required=True', "the input x is Integer, but the program reads '3' as '3' (str)"),
        ("Integer", '"--x", type=float, choices=[0.5], required=True', "the program reads '0.5' as 0.5 (float)"),
        ("Integer", '"--x", type=int, required=True', "refuses '3.0' (argument --x: invalid int value: '3.0')"),
        ("Float", '"--x", type=int, required=True', "refuses '0.5' (argument --x: invalid int value: '0.5')"),
        ("String", '"--x", type=int, required=True', "the input x is String, but the program refuses 'text'"),
        ("Boolean", '"--x", type=bool, required=True', "reads 'False' as True (bool)"),
        ("Boolean", '"--x", action="store_true", required=True', "refuses 'true' (--x takes no value)"),
        ("JsonArray", '"--x", nargs="+", required=True', 'reads \'["a", "b"]\' as [\'["a", "b"]\'] (list)'),
        ("JsonObject", '"--x", required=True', "is JsonObject, but the program reads '{\"a\": [1]}' as"),
        ("String", '"--x", type=lambda text: 1 / 0, required=True', "ZeroDivisionError: division by zero"),
    ],
)
def test_types_that_disagree(tmp_path, kind, argument, told):
    (found,) = _tiny(tmp_path, kind, argument)
    assert found.startswith("types: --x: ")
    assert told in found


@pytest.mark.parametrize(
    ("kind", "default", "argument", "agree"),
    [
        ("Float", "'2'", "type=float, default=2.0", True),
        ("JsonArray", "'[\"train\"]'", 'type=json.loads, default=["train"]', True),
        ("Integer", "'5'", "type=lambda text: int(float(text))", True),  # the program has none
        ("Integer", "'5'", "type=lambda text: int(float(text)), default='5'", True),  # argparse converts it
        ("Integer", "'5'", "type=lambda text: int(float(text)), default=8", False),
        ("Integer", "'1'", "type=lambda text: int(float(text)), default=True", False),
        ("JsonObject", '\'{"train": 2, "eval": 1}\'', 'type=json.loads, default={"train": 2}', False),
    ],
)
def test_defaults_are_compared_as_the_program_reads_them(tmp_path, kind, default, argument, agree):
    found = _tiny(tmp_path, kind, f'"--x", {argument}', JSON, default=default, optional="true")
    assert not found if agree else found[0].startswith("defaults: --x: the default is ")


def test_a_default_that_is_none_of_the_choices(tmp_path):
    (found,) = _tiny(tmp_path, "String", '"--x", choices=("a", "b"), default="a"', default="c", optional="true")
    assert "--x: the program refuses the spec's default 'c' (argument --x: invalid choice: 'c'" in found


def test_nothing_is_imported_that_comes_after_the_arguments(tmp_path):
    component = tiny(tmp_path, "[]", "[]", "")
    with (component.folder / "src/tiny/__main__.py").open("a", encoding="utf-8") as stream:
        stream.write("import a_heavy_library_that_is_not_there\n")
    assert not _found(component)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("import gone", "No module named 'gone'"),
        ("raise SystemExit('told so')", "ended with code 1 before it parsed arguments by argparse.* told so"),
    ],
)
def test_a_program_that_parses_nothing(tmp_path, more, told):
    with pytest.raises(PipeyardError, match=told):
        _found(tiny(tmp_path, "[]", "[]", "", more))


def test_what_a_spec_passes():
    args = [
        {"outputPath": "e"}, "--a", {"inputValue": "a"}, "--b=c",
        {"if": {"cond": {"isPresent": "d"}, "then": ["--d", {"inputPath": "d"}], "else": ["--no-d"]}},
        "--n", "-3", "--alone",
    ]  # fmt: skip
    assert passed({"args": args}) == [
        Passed("", "outputPath", "e"),
        Passed("--a", "inputValue", "a"),
        Passed("--b", "", "c"),
        Passed("--d", "inputPath", "d", frozenset({"d"})),
        Passed("--no-d"),
        Passed("--n", "", "-3"),
        Passed("--alone"),
    ]
