"""What a value is when it arrives: by the rules of KFP's driver and launcher, where they differ from Python's."""

# kfp passes the paths of outputs by itself.

import json
from typing import Optional

import pytest
from kfp import components, dsl
from kfp.dsl import Dataset, Input
from support.tiny_components import component

from pipeyard.errors import PipeyardError
from pipeyard.ir import values
from pipeyard.runs.record import State

OK, FAILED, SKIPPED = State.SUCCEEDED, State.FAILED, State.SKIPPED

echo = component("echo", {"value": "String"}, {"said": "String"}, "write(OUT['said'], IN['value'])")
write = component("write", {"value": "String"}, {"data": "Dataset"}, "write(OUT['data'], IN['value'])")
rows = component("rows", {"text": "String"}, {"rows": "JsonArray"}, "write(OUT['rows'], IN['text'])")
typed = component(
    "typed", {"n": "Integer=0", "f": "Boolean=false", "x": "Float=0"}, {"o": "JsonObject"}, "write(OUT['o'], IN)"
)
listed = component("listed", {"words": "JsonArray"}, {"text": "String"}, "write(OUT['text'], IN['words'])")
status = component(
    "status", {"status": "PipelineTaskFinalStatus"}, {"seen": "String"}, "write(OUT['seen'], IN['status'])"
)


@dsl.container_component
def count(datas: Input[list[Dataset]], out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="tests/python", command=["sh", "-c", 'printf %s "$0" > "$1"', datas, out])


@dsl.container_component
def meta(data: Input[Dataset], out: dsl.OutputPath(dict)):
    return dsl.ContainerSpec(image="tests/python", command=["sh", "-c", 'printf %s "$0" > "$1"', data.metadata, out])


@pytest.mark.parametrize("field", ["n", "f", "x"])
def test_text_of_a_loop_s_item_is_no_number_and_no_boolean(run, field):
    @dsl.pipeline(name="p")
    def pipeline(text: str):
        made = rows(text=text)
        with dsl.ParallelFor(made.outputs["rows"]) as item:
            typed(**{field: getattr(item, field)})

    right = run(pipeline, text='[{"n": 1, "f": true, "x": 0.5}]')
    assert right.run.state == OK
    wrong = run(pipeline, text='[{"n": "1", "f": "true", "x": "0.5"}]')
    assert wrong.run.state == FAILED
    assert f"the input '{field}' is the text" in wrong.run.error


def test_small_floats_arrive_without_an_exponent(run):
    @dsl.pipeline(name="p")
    def pipeline(lr: float = 1e-5, big: float = 1e21):
        typed(x=lr)
        typed(x=big)
        echo(value=f"lr={lr}")

    result = run(pipeline)
    assert result["typed"].output_parameters["o"]["x"] == "0.00001"
    assert result["typed-2"].output_parameters["o"]["x"] == "1000000000000000000000"
    assert result["echo"].output_parameters["said"] == "lr=0.00001"


def test_a_list_in_a_loop_s_item_is_looped_over(run):
    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor([{"a": "deep", "l": ["x", "y"]}]) as item, dsl.ParallelFor(item.l) as each:
            echo(value=each)

    result = run(pipeline)
    assert sorted(task.output_parameters["said"] for task in result.run.tasks) == ["x", "y"]


def test_a_list_in_an_item_of_an_output_is_looped_over_and_text_is_not(run):
    @dsl.pipeline(name="p")
    def pipeline(text: str):
        made = rows(text=text)
        with dsl.ParallelFor(made.outputs["rows"]) as item, dsl.ParallelFor(item.cols) as each:
            echo(value=each)

    result = run(pipeline, text='[{"cols": ["x", "y"]}, {"cols": []}]')
    assert result.run.state == OK
    assert sorted(task.output_parameters.get("said", "") for task in result.run.tasks) == ["", "x", "y"]
    assert "it loops over 'x', which isn't a list" in run(pipeline, text='[{"cols": "x"}]').run.error


def test_collected_outputs_of_skipped_iterations_are_left_out_of_both_lists(run):
    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor([1, 2, 3]) as number, dsl.If(number > 1):
            said = echo(value=f"{number}")
            made = write(value=f"{number}")
        listed(words=dsl.Collected(said.outputs["said"]))
        count(datas=dsl.Collected(made.outputs["data"]))

    result = run(pipeline)
    assert result.run.state == OK
    assert json.loads(result["listed"].output_parameters["text"]) == ["2", "3"]
    artifacts = json.loads(result["count"].output_parameters["out"])
    assert [artifact["type"]["schemaTitle"] for artifact in artifacts] == ["system.Dataset"] * 2
    assert ["[1]" in artifacts[0]["uri"], "[2]" in artifacts[1]["uri"]] == [True, True]


def test_an_importer_s_metadata_has_the_parameters_values(run, tmp_path):
    (tmp_path / "file").write_text("x")

    @dsl.pipeline(name="p")
    def pipeline(uri: str, version: str = "7", runs: int = 3):
        metadata = {"version": version, "runs": runs, "fixed": 3, "text": f"v{version}", "n": ["x", version]}
        meta(data=dsl.importer(artifact_uri=uri, artifact_class=Dataset, metadata=metadata).output)

    result = run(pipeline, uri=str(tmp_path / "file"))
    expected = {"version": "7", "runs": 3, "fixed": 3, "text": "v7", "n": ["x", "7"]}
    assert result["importer"].output_artifacts["artifact"].metadata == expected
    assert result["meta"].output_parameters["out"] == expected


def test_whole_placeholders_are_inputs(run):
    @dsl.pipeline(name="inner")
    def _inner(name: str):
        echo(value=name)

    @dsl.pipeline(name="p")
    def pipeline():
        echo(value=dsl.PIPELINE_TASK_NAME_PLACEHOLDER)
        echo(value=dsl.PIPELINE_TASK_ID_PLACEHOLDER)
        echo(value=dsl.PIPELINE_TASK_ID_PLACEHOLDER)
        echo(value=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
        _inner(name=dsl.PIPELINE_JOB_ID_PLACEHOLDER)

    result = run(pipeline)
    said = {task.path: task.output_parameters["said"] for task in result.run.tasks}
    assert said["echo"] == "echo"
    assert len(said["echo-2"]) == len(said["echo-3"]) == 36 and said["echo-2"] != said["echo-3"]
    assert said["echo-4"] == said["inner/echo"] == result.run.id


def test_placeholders_of_a_task_stand_in_its_command(run):
    @dsl.container_component
    def names(out: dsl.OutputPath(str)):
        told = [dsl.PIPELINE_TASK_NAME_PLACEHOLDER, dsl.PIPELINE_TASK_ID_PLACEHOLDER]
        return dsl.ContainerSpec(image="tests/python", command=["sh", "-c", 'printf "$1 $2" > "$0"', out, *told])

    @dsl.pipeline(name="p")
    def pipeline():
        names()

    name, id_ = run(pipeline)["names"].output_parameters["out"].split()
    assert (name, len(id_)) == ("names", 36)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, r"is {{\$}}, which KFP's driver leaves"),
        (dsl.PIPELINE_TASK_EXECUTOR_OUTPUT_PATH_PLACEHOLDER, r"is {{\$.outputs.output_file}}, which"),
        (dsl.PIPELINE_ROOT_PLACEHOLDER, r"is {{\$.pipeline_root}}, which"),
        (f"run {dsl.PIPELINE_JOB_NAME_PLACEHOLDER}", r"has {{\$.pipeline_job_name}} within a text"),
        (f"{dsl.PIPELINE_TASK_NAME_PLACEHOLDER}/x", r"has {{\$.pipeline_task_name}} within a text"),
    ],
)
def test_placeholders_that_the_driver_leaves_are_refused(run, given, message):
    @dsl.pipeline(name="p")
    def pipeline():
        echo(value=given)

    with pytest.raises(PipeyardError, match=f"echo: its input 'value' {message}"):
        run(pipeline)


def test_a_placeholder_as_a_default_of_the_pipeline_is_refused(run):
    @dsl.pipeline(name="p")
    def pipeline(name: str = dsl.PIPELINE_JOB_NAME_PLACEHOLDER):
        echo(value=name)

    with pytest.raises(PipeyardError, match="the default of the parameter 'name' has"):
        run(pipeline)


@pytest.mark.parametrize("broken", [False, True])
def test_the_final_status_has_every_field(run, broken):
    fail = component("fail", {}, {}, "sys.exit(3)")

    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ExitHandler(status()):
            fail() if broken else echo(value="fine")

    result = run(pipeline)
    seen = json.loads(result["status"].output_parameters["seen"])
    assert seen.pop("pipelineJobResourceName") == result.run.id
    assert seen.pop("pipelineTaskName") == "exit-handler-1"
    if broken:
        assert (seen["state"], seen["error"]["code"]) == ("FAILED", 9)
    else:
        assert seen == {"state": "SUCCEEDED", "error": {}}


def test_a_group_that_fails_before_its_tasks_are_known_says_why(run):
    @dsl.pipeline(name="p")
    def pipeline(tables: list, n: Optional[int] = None):  # noqa: UP045  # kfp reads no `int | None`
        with dsl.If(n > 3), dsl.ParallelFor(tables) as table:
            echo(value=table)

    result = run(pipeline, tables=["a"])
    assert (result.run.state, result.states) == (FAILED, {"condition-1": FAILED})
    assert "its input 'n' has no value" in result["condition-1"].reason
    assert "condition-1: its input 'n' has no value" in result.run.error


def test_loops_that_fail_beside_each_other_each_say_why(run):
    @dsl.pipeline(name="p")
    def pipeline(text: str):
        made = rows(text=text)
        with dsl.ParallelFor(made.outputs["rows"]) as item:
            with dsl.ParallelFor(item.cols) as each:
                echo(value=each)
            with dsl.ParallelFor(item.rows) as each:
                echo(value=each)

    result = run(pipeline, text='[{"cols": "x", "rows": 3}]')
    failed = {task.path: task.reason for task in result.run.tasks if task.state == FAILED}
    assert len(failed) == 2
    assert {"it loops over 'x', which isn't a list.", "it loops over '3', which isn't a list."} == set(failed.values())


def test_concat_and_conditions_in_commands_are_resolved(run):
    spec = """
name: join
inputs: [{name: a, type: String}, {name: b, type: Integer}, {name: c, type: String, optional: true}]
outputs: [{name: said, type: String}]
implementation:
  container:
    image: tests/python
    command: [python, -c, "import sys, pathlib; pathlib.Path(sys.argv[-1]).write_text('|'.join(sys.argv[1:-1]))"]
    args:
    - concat: ['{"a": "', {inputValue: a}, '", "b": ', {inputValue: b}, '}']
    - if: {cond: {isPresent: c}, then: [--c, {concat: [c=, {inputValue: c}]}], else: [--none]}
    - {outputPath: said}
"""
    join = components.load_component_from_text(spec)

    @dsl.pipeline(name="p")
    def pipeline(c: Optional[str] = None):  # noqa: UP045
        join(a="x", b=3)
        join(a="y", b=4, c=c)

    result = run(pipeline, c="z")
    assert result["join"].output_parameters == {"said": '{"a": "x", "b": 3}|--none'}
    assert result["join-2"].output_parameters == {"said": '{"a": "y", "b": 4}|--c|c=z'}


WRITTEN = [
    ("Integer", "3\n", 3),
    ("Integer", "+5", 5),
    ("Integer", "007", 7),
    ("Integer", "9007199254740994", 9007199254740994),
    ("Integer", "3.0", "which isn't a whole number"),
    ("Integer", "1e3", "which isn't a whole number"),
    ("Integer", "1_000", "which isn't a whole number"),
    ("Integer", "9007199254740993", "9007199254740993, which KFP would round"),
    ("Integer", "-9223372036854775808", -(2**63)),
    ("Integer", "9223372036854775808", "9223372036854775808, which KFP can't read: it takes 64 bits"),
    ("Integer", "1" + "0" * 400, "of more than 300 digits, which KFP can't read"),
    ("Float", ".5", 0.5),
    ("Float", "NaN", "which isn't a number"),
    ("Float", "1e400", "which isn't a number"),
    ("Boolean", "T", True),
    ("Boolean", "False\n", False),
    ("Boolean", "yes", "which isn't true or false"),
    ("JsonArray", '[{"a": 1, "a": 2}]', "the key 'a' stands twice"),
    ("JsonArray", "[" * 5000 + "]" * 5000, "nested more than 100 deep"),
    ("JsonObject", '{"id": [9007199254740993]}', "9007199254740993, which KFP would round"),
    ("JsonObject", '{"id": 1e300}', {"id": int(1e300)}),
    ("JsonObject", r'{"a": ["\ud800"]}', r"the character '\ud800', which no command"),
    ("JsonArray", r'["\u0000"]', r"the character '\x00'"),
    ("String", "a\0b", r"the character '\x00', which no command and no record can have. Leave it out."),
    ("JsonArray", "[1e999]", "isn't a JSON array (inf)"),
    ("String", "a\r\nb\rc\n", "a\r\nb\rc\n"),
]


def test_outputs_are_read_as_the_launcher_reads_them():
    for kind, text, expected in WRITTEN:
        declared = {"Integer": "NUMBER_INTEGER", "Float": "NUMBER_DOUBLE", "JsonArray": "LIST", "JsonObject": "STRUCT"}
        type_ = getattr(values.Types, declared.get(kind, kind.upper()))
        try:
            found = values.written(text, type_, "the output 'o'")
        except PipeyardError as error:
            assert isinstance(expected, str) and expected in str(error), (kind, text)
        else:
            assert (found, type(found)) == (expected, type(expected)), (kind, text)


def test_line_ends_in_an_output_stay_what_they_are(run):
    ends = component("ends", {}, {"said": "String"}, "open(OUT['said'], 'w', newline='').write('a\\r\\nb\\rc')")

    @dsl.pipeline(name="p")
    def pipeline():
        ends()

    assert run(pipeline)["ends"].output_parameters == {"said": "a\r\nb\rc"}


def test_a_deep_output_fails_its_step(run):
    deep = component("deep", {}, {"rows": "JsonArray"}, "write(OUT['rows'], '[' * 5000 + ']' * 5000)")

    @dsl.pipeline(name="p")
    def pipeline():
        deep()

    assert "nested more than 100 deep" in run(pipeline)["deep"].reason


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_parameter_that_no_command_can_have_is_refused_before_the_run(run, value):
    @dsl.pipeline(name="p")
    def pipeline(text: str):
        echo(value=text)

    with pytest.raises(PipeyardError, match="the parameter 'text' has the character .* Leave it out"):
        run(pipeline, text=value)


def test_a_number_that_is_none_is_refused_at_any_depth(run):
    @dsl.pipeline(name="p")
    def pipeline(words: list):
        listed(words=words)

    with pytest.raises(PipeyardError, match="the parameter 'words' is .*isn't a JSON array"):
        run(pipeline, words=[{"a": float("inf")}])


def test_an_output_that_is_a_pipe_fails_its_step(run):
    pipe = component("pipe", {}, {"said": "String"}, "import os; os.mkfifo(OUT['said'])")

    @dsl.pipeline(name="p")
    def pipeline():
        pipe()

    assert run(pipeline)["pipe"].reason.startswith("the output 'said' is no file. Write its value into a file")


def test_what_an_executor_output_says_of_a_parameter_comes_before_its_file(run):
    said = '{"parameterValues": {"n": 2}}'
    code = f"import os; open(os.path.dirname(OUT['n']) + '/executor_output.json', 'w').write({said!r})"
    tell = component("tell", {}, {"n": "Integer"}, f"write(OUT['n'], '1'); {code}")

    @dsl.pipeline(name="p")
    def pipeline():
        tell()

    assert run(pipeline)["tell"].output_parameters == {"n": 2}


@pytest.mark.parametrize(
    "said", ["[1]", '{"artifacts": []}', '{"parameterValues": 1}', '{"artifacts": {"data": {"artifacts": [1]}}}']
)
def test_an_executor_output_that_is_none_fails_its_step(run, said):
    code = f"open(OUT['data'] + '/../executor_output.json', 'w').write({said!r})"
    tell = component("tell", {}, {"data": "Dataset"}, f"import os; os.makedirs(OUT['data']); {code}")

    @dsl.pipeline(name="p")
    def pipeline():
        tell()

    assert run(pipeline)["tell"].reason.startswith("its executor output ")
