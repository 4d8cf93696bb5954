"""Conditions, loops, exit handlers, failures: the order in which things run, and whether they do."""

import json

import pytest
from kfp import dsl
from support.tiny_components import component

from pipeyard.runs.record import State

OK, SKIPPED, FAILED = State.SUCCEEDED, State.SKIPPED, State.FAILED

emit = component(
    "emit",
    {"value": "String=x"},
    {
        "text": "String",
        "count": "Integer",
        "ratio": "Float",
        "flag": "Boolean",
        "items": "JsonArray",
    },
    """
    v = IN['value']
    write(OUT['text'], v)
    write(OUT['count'], str(len(v)))
    write(OUT['ratio'], str(len(v) / 2))
    write(OUT['flag'], 'True' if v else 'false')
    write(OUT['items'], list(v))
    """,
)
pair = component(
    "pair",
    {"left": "String", "right": "String"},
    {"both": "String"},
    "write(OUT['both'], IN['left'] + '-' + IN['right'])",
)
echo = component("echo", {"value": "String"}, {"said": "String"}, "write(OUT['said'], IN['value']); print(IN['value'])")
fail = component("fail", {}, {"text": "String"}, "print('about to fail'); sys.exit(3)")
status = component(
    "status",
    {"status": "PipelineTaskFinalStatus", "note": "String=none"},
    {"seen": "String"},
    "write(OUT['seen'], IN['status'])",
)


@pytest.mark.parametrize(("value", "runs"), [("abc", True), ("a", False)])
def test_if_without_else_on_an_output_of_any_name(run, value, runs):
    @dsl.pipeline(name="p")
    def pipeline(value: str):
        made = emit(value=value)
        with dsl.If(made.outputs["count"] > 2):
            echo(value="inside")

    result = run(pipeline, value=value)
    assert result.run.state == OK
    assert result.states["condition-1/echo"] == (OK if runs else SKIPPED)
    if not runs:
        assert result["condition-1/echo"].reason == "not so: emit.count > 2"


@pytest.mark.parametrize(("value", "branch"), [("abcd", "echo"), ("ab", "echo-2"), ("a", "echo-3")])
def test_elif_and_else_take_one_branch(run, value, branch):
    @dsl.pipeline(name="p")
    def pipeline(value: str):
        made = emit(value=value)
        with dsl.If(made.outputs["count"] > 2):
            echo(value="1")
        with dsl.Elif(made.outputs["count"] == 2):
            echo(value="2")
        with dsl.Else():
            echo(value="3")

    result = run(pipeline, value=value)
    ran = [path.rpartition("/")[2] for path, state in result.states.items() if state == OK and "condition" in path]
    assert ran == [branch]


def test_nested_conditions_on_booleans_floats_and_outer_values(run):
    @dsl.pipeline(name="p")
    def pipeline(limit: float = 1.5):
        made = emit(value="abcd")
        with dsl.If(made.outputs["flag"] == True):  # noqa: E712
            inner = emit(value="ab")
            with dsl.If(made.outputs["ratio"] > limit):
                with dsl.If(inner.outputs["text"] == "ab"):
                    echo(value="deep")
                with dsl.If(inner.outputs["text"] == "no"):
                    echo(value="never")

    result = run(pipeline)
    states = {path.rpartition("/")[2]: state for path, state in result.states.items()}
    assert states == {"emit": OK, "emit-2": OK, "echo": OK, "echo-2": SKIPPED}


def test_a_quote_in_a_value_changes_no_condition(run):
    @dsl.pipeline(name="p")
    def pipeline(value: str):
        made = emit(value=value)
        with dsl.If(made.outputs["text"] != "x"):
            echo(value="differs")

    assert run(pipeline, value="it's \" || true").states["condition-1/echo"] == OK


def test_what_depends_on_a_skipped_branch_goes_on(run):
    @dsl.pipeline(name="inner")
    def _inner():
        made = emit(value="a")
        with dsl.If(made.outputs["count"] > 2):
            echo(value="inside")

    @dsl.pipeline(name="p")
    def pipeline():
        echo(value="after").after(_inner())

    result = run(pipeline)
    assert result.states == {"inner/condition-1/echo": SKIPPED, "echo": OK, "inner/emit": OK}
    assert result["echo"].upstream == ["inner/condition-1/echo", "inner/emit"]


def test_one_of_gives_the_branch_that_ran(run):
    @dsl.pipeline(name="inner")
    def _inner(limit: int) -> str:
        made = emit(value="abc")
        with dsl.If(made.outputs["count"] > limit):
            one = echo(value="more")
        with dsl.Else():
            other = echo(value="less")
        return dsl.OneOf(one.outputs["said"], other.outputs["said"])

    @dsl.pipeline(name="p")
    def pipeline(limit: int):
        echo(value=_inner(limit=limit).output)

    assert run(pipeline, limit=5)["echo"].output_parameters == {"said": "less"}
    assert run(pipeline, limit=1)["echo"].output_parameters == {"said": "more"}


def test_loop_over_an_output_keeps_the_other_inputs(run):
    @dsl.pipeline(name="p")
    def pipeline():
        made = emit(value="abc")
        other = emit(value="constant")
        with dsl.ParallelFor(made.outputs["items"]) as item:
            pair(left=item, right=other.outputs["text"])

    result = run(pipeline)
    said = [task.output_parameters["both"] for task in result.run.tasks if task.name == "pair"]
    assert sorted(said) == ["a-constant", "b-constant", "c-constant"]


def test_nested_loops_over_structs_see_both_items(run):
    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor(["1", "2"]) as outer, dsl.ParallelFor([{"k": "a"}, {"k": "b"}]) as inner:
            pair(left=outer, right=inner.k)

    result = run(pipeline)
    said = sorted(task.output_parameters["both"] for task in result.run.tasks)
    assert said == ["1-a", "1-b", "2-a", "2-b"]


def test_a_loop_keeps_its_parallelism_limit(run, tmp_path):
    busy = component(
        "busy",
        {"folder": "String", "item": "String"},
        {"peak": "Integer"},
        """
        import time, os
        mine = Path(IN['folder']) / IN['item']
        mine.touch()
        time.sleep(0.4)
        write(OUT['peak'], str(len(os.listdir(IN['folder']))))
        mine.unlink()
        """,
    )
    folder = tmp_path / "busy"
    folder.mkdir()

    @dsl.pipeline(name="p")
    def pipeline(folder: str):
        with dsl.ParallelFor(["a", "b", "c", "d", "e"], parallelism=2) as item:
            busy(folder=folder, item=item)

    result = run(pipeline, folder=str(folder))
    assert result.run.state == OK
    assert max(task.output_parameters["peak"] for task in result.run.tasks) == 2


def test_collected_outputs_of_a_loop_arrive_as_a_list(run):
    join = component(
        "join", {"all": "JsonArray"}, {"joined": "String"}, "write(OUT['joined'], '+'.join(json.loads(IN['all'])))"
    )

    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor(["a", "b", "c"]) as item:
            said = echo(value=item)
        join(all=dsl.Collected(said.outputs["said"]))

    assert run(pipeline)["join"].output_parameters == {"joined": "a+b+c"}


def test_an_empty_loop_runs_nothing_and_succeeds(run):
    @dsl.pipeline(name="p")
    def pipeline(items: list):
        with dsl.ParallelFor(items) as item:
            echo(value=item)

    result = run(pipeline, items=[])
    assert (result.run.state, result.run.tasks) == (OK, [])


def test_exit_handler_runs_after_failure_and_hears_of_it(run):
    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ExitHandler(status(note="n")):
            broken = fail()
            echo(value=broken.outputs["text"])

    result = run(pipeline)
    assert result.run.state == FAILED
    assert result.states["status"] == OK
    assert result.states["exit-handler-1/echo"] == SKIPPED
    seen = json.loads(result["status"].output_parameters["seen"])
    assert seen["state"] == "FAILED"
    assert "exit code 3: about to fail" in seen["error"]["message"]


def test_exit_handler_hears_of_success(run):
    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ExitHandler(status()):
            echo(value="fine")

    seen = json.loads(run(pipeline)["status"].output_parameters["seen"])
    assert (seen["state"], seen["pipelineTaskName"], seen["error"]) == ("SUCCEEDED", "exit-handler-1", {})


def test_a_failure_skips_what_depends_on_it_and_nothing_else(run):
    @dsl.pipeline(name="p")
    def pipeline():
        broken = fail()
        echo(value=broken.outputs["text"])
        echo(value="independent")

    result = run(pipeline)
    assert result.states == {"fail": FAILED, "echo": SKIPPED, "echo-2": OK}
    assert result["echo"].reason == "fail did not succeed"
    assert result["fail"].attempts[0].exit_code == 3


def test_ignore_upstream_failure_runs_with_what_is_there(run):
    @dsl.pipeline(name="p")
    def pipeline():
        broken = fail()
        emit(value=broken.outputs["text"]).ignore_upstream_failure()

    result = run(pipeline)
    assert result.run.state == FAILED
    assert result["emit"].output_parameters["text"] == "x"


def test_independent_tasks_run_at_the_same_time(run, tmp_path):
    meet = component(
        "meet",
        {"folder": "String", "me": "String", "other": "String"},
        {"met": "Boolean"},
        """
        import time
        (Path(IN['folder']) / IN['me']).touch()
        end = time.time() + 20
        while time.time() < end and not (Path(IN['folder']) / IN['other']).exists():
            time.sleep(0.05)
        write(OUT['met'], (Path(IN['folder']) / IN['other']).exists())
        """,
    )

    @dsl.pipeline(name="p")
    def pipeline(folder: str):
        meet(folder=folder, me="a", other="b")
        meet(folder=folder, me="b", other="a")

    result = run(pipeline, folder=str(tmp_path))
    assert [task.output_parameters["met"] for task in result.run.tasks] == [True, True]


def test_what_did_not_run_has_its_edges(run):
    """So that a graph of the run shows it where it stands, not in the first column."""

    @dsl.pipeline
    def inner(value: str) -> str:
        first = echo(value=value)
        return echo(value=first.output).output

    @dsl.pipeline(name="p")
    def pipeline():
        made = emit(value="ab")
        other = echo(value="other")
        with dsl.If(made.outputs["count"] > 2):
            first = echo(value=made.outputs["text"])
            echo(value=first.output)
            inside = inner(value=first.output)
            echo(value=inside.output)
        with dsl.ParallelFor([1, 2]) as item, dsl.If(item == 2):
            once = echo(value="once")
            with dsl.If(made.outputs["flag"] == False):  # noqa: E712  # kfp's DSL
                pair(left=once.output, right=other.output)
        broken = fail()
        after = echo(value=broken.output)
        echo(value="later").after(after)

    result = run(pipeline)
    skipped = {path: result[path].upstream for path, state in result.states.items() if state == SKIPPED}
    group, loop = "condition-1", "for-loop-3"
    assert skipped == {
        f"{group}/echo-2": ["emit"],
        f"{group}/echo-3": [f"{group}/echo-2", "emit"],
        f"{group}/inner/echo": [f"{group}/echo-2", "emit"],
        f"{group}/inner/echo-2": [f"{group}/inner/echo", "emit"],
        f"{group}/echo-4": [f"{group}/inner/echo", f"{group}/inner/echo-2", "emit"],
        f"{loop}[0]/condition-4/echo-5": [],
        f"{loop}[0]/condition-4/condition-5/pair": ["echo", "emit", f"{loop}[0]/condition-4/echo-5"],
        f"{loop}[1]/condition-4/condition-5/pair": ["echo", "emit", f"{loop}[1]/condition-4/echo-5"],
        "echo-6": ["fail"],
        "echo-7": ["echo-6"],
    }
