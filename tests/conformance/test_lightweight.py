"""Lightweight components, a feature a test: functions, notebooks and commands in Python's image, beside ours.

kfp's program calls the functions as it does in a container; that pip really installs is `test_real_environment`'s.
"""

import json
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import List, NamedTuple, Optional  # noqa: UP035  # as kfp's documentation writes them

import nbformat
import pytest
from kfp import dsl, kubernetes
from kfp.dsl import ClassificationMetrics, Dataset, Input, InputPath, Metrics, Model, Output, OutputPath
from support.fake_python import FakePython
from support.tiny_components import component

from pipeyard.errors import PipeyardError
from pipeyard.local import runner
from pipeyard.runs.record import State

# Functions here have kfp's default image; it tells of a day when that changes.
pytestmark = pytest.mark.filterwarnings("ignore:The default base_image:FutureWarning")
OK, CACHED, FAILED, SKIPPED = State.SUCCEEDED, State.CACHED, State.FAILED, State.SKIPPED

ours = component(
    "ours",
    {"data": "Dataset", "text": "String"},
    {"data_out": "Dataset", "rows": "Integer"},
    """
    text = Path(IN['data']).read_text() + IN['text']
    write(OUT['data_out'], text)
    write(OUT['rows'], len(text))
    """,
)


@dsl.component(base_image="python:3.11")
def describe(s: str, i: int, f: float, b: bool, a: list, o: dict, none: Optional[str] = None, d: int = 7) -> str:  # noqa: UP045
    import json

    return json.dumps([s, i, f, b, a, o, none, d])


@dsl.component(base_image="python:3.11")
def several(n: int) -> NamedTuple("Out", [("twice", int), ("name", str), ("parts", list)]):
    from collections import namedtuple

    return namedtuple("Out", ["twice", "name", "parts"])(2 * n, f"n{n}", [n, {"n": n}])


@dsl.component(base_image="python:3.11")
def write_data(text: str, data: Output[Dataset]):
    with open(data.path, "w") as stream:  # noqa: PTH123
        stream.write(text)
    data.metadata["words"] = len(text.split())


@dsl.component(base_image="python:3.11")
def read_data(data: Input[Dataset], rows: int) -> dict:
    with open(data.path) as stream:  # noqa: PTH123
        return {"text": stream.read(), "metadata": data.metadata, "rows": rows}


def test_parameters_of_all_types_arrive_and_optional_ones_may_be_left_out(run):
    @dsl.pipeline(name="p")
    def pipeline(s: str, i: int, f: float, b: bool, a: list, o: dict):
        describe(s=s, i=i, f=f, b=b, a=a, o=o)

    result = run(pipeline, s='it\'s {{$}} "x"', i=3, f=2.0, b=False, a=[1, "two"], o={"k": [1]})
    told = json.loads(result["describe"].output_parameters["Output"])
    assert told == ['it\'s {{$}} "x"', 3, 2.0, False, [1, "two"], {"k": [1]}, None, 7]
    assert result["describe"].component == "describe"


def test_outputs_of_a_named_tuple_decide_conditions_and_go_round_loops(run):
    @dsl.pipeline(name="p")
    def pipeline(n: int = 2):
        told = several(n=n)
        with dsl.If(told.outputs["twice"] == 4):
            several(n=told.outputs["twice"])
        with dsl.If(told.outputs["name"] == "n3"):
            several(n=9)
        with dsl.ParallelFor([1, 5]) as item:
            several(n=item)

    result = run(pipeline)
    assert result["several"].output_parameters == {"twice": 4, "name": "n2", "parts": [2, {"n": 2}]}
    assert result["condition-1/several-2"].output_parameters["twice"] == 8
    assert result.states["condition-2/several-3"] == SKIPPED
    twices = [task.output_parameters["twice"] for task in result.run.tasks if task.path.endswith("]/several-4")]
    assert sorted(twices) == [2, 10]


def test_artifacts_pass_between_functions_and_components_of_ours(run):
    @dsl.pipeline(name="p")
    def pipeline():
        first = write_data(text="some rows")
        second = ours(data=first.outputs["data"], text=" more")
        read_data(data=second.outputs["data_out"], rows=second.outputs["rows"])
        read_data(data=first.outputs["data"], rows=0)

    result = run(pipeline)
    assert result["read-data"].output_parameters["Output"] == {"text": "some rows more", "metadata": {}, "rows": 14}
    assert result["read-data-2"].output_parameters["Output"]["metadata"] == {"words": 2}
    artifact = result["write-data"].output_artifacts["data"]
    assert (artifact.type, artifact.bytes, artifact.metadata) == ("system.Dataset", 9, {"words": 2})


def test_input_path_and_output_path(run):
    @dsl.component
    def paths(text: str, number: OutputPath(int), data: OutputPath("Dataset")):
        with open(number, "w") as stream:  # noqa: PTH123
            stream.write("5")
        with open(data, "w") as stream:  # noqa: PTH123
            stream.write(text)

    @dsl.component
    def read(data: InputPath("Dataset"), number: int) -> str:
        with open(data) as stream:  # noqa: PTH123
            return stream.read() * number

    @dsl.pipeline(name="p")
    def pipeline():
        made = paths(text="ab")
        read(data=made.outputs["data"], number=made.outputs["number"])

    assert run(pipeline)["read"].output_parameters == {"Output": "ababababab"}


def test_metrics_are_their_metadata(run):
    @dsl.component
    def measure(metrics: Output[Metrics], curve: Output[ClassificationMetrics], empty: Output[Metrics]):
        metrics.log_metric("auc", 0.75)
        curve.log_confusion_matrix(["a", "b"], [[3, 1], [0, 4]])

    @dsl.component
    def compare(metrics: Input[Metrics]) -> float:
        return metrics.metadata["auc"]

    @dsl.pipeline(name="p")
    def pipeline():
        compare(metrics=measure().outputs["metrics"])

    result = run(pipeline)
    assert result["compare"].output_parameters == {"Output": 0.75}
    assert "confusionMatrix" in result["measure"].output_artifacts["curve"].metadata
    assert run(pipeline).states == {"measure": CACHED, "compare": CACHED}


def test_an_artifact_that_is_neither_written_nor_described_fails_the_step(run):
    @dsl.component
    def lazy(data: Output[Dataset]):
        pass

    @dsl.pipeline(name="p")
    def pipeline():
        lazy()

    assert run(pipeline)["lazy"].reason == "it ended well but did not write its outputs data"


def test_a_returned_artifact_is_where_the_function_says(run):
    @dsl.component
    def returned() -> Model:
        model = dsl.Model(uri=dsl.get_uri("elsewhere"), metadata={"kind": "tree"})
        with open(model.path, "w") as stream:  # noqa: PTH123
            stream.write("weights")
        return model

    @dsl.component
    def read(model: Input[Model]) -> str:
        with open(model.path) as stream:  # noqa: PTH123
            return stream.read() + model.metadata["kind"]

    @dsl.pipeline(name="p")
    def pipeline():
        read(model=returned().output)

    result = run(pipeline)
    assert result["read"].output_parameters == {"Output": "weightstree"}
    assert result["returned"].output_artifacts["Output"].uri.endswith("/outputs/elsewhere")


def test_a_loop_s_artifacts_are_collected_as_a_list(run):
    @dsl.component
    def join(parts: Input[List[Dataset]]) -> str:  # noqa: UP006
        return " ".join(sorted(open(each.path).read() for each in parts))  # noqa: PTH123

    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor(["a", "b"]) as item:
            made = write_data(text=item)
        join(parts=dsl.Collected(made.outputs["data"]))

    assert run(pipeline)["join"].output_parameters == {"Output": "a b"}


def test_an_exit_handler_is_told_how_it_ended(run):
    @dsl.component
    def fail():
        raise ValueError("no rows")

    @dsl.component
    def tell(status: dsl.PipelineTaskFinalStatus) -> str:
        return f"{status.state} {status.error_message}"

    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ExitHandler(tell()):
            fail()

    result = run(pipeline)
    told = result["tell"].output_parameters["Output"]
    assert told.startswith("FAILED ") and "ValueError: no rows" in told
    assert "ValueError: no rows" in result["exit-handler-1/fail"].reason


def test_an_imported_artifact_reaches_a_function(run, tmp_path):
    (tmp_path / "there.txt").write_text("hello")

    @dsl.pipeline(name="p")
    def pipeline(uri: str):
        read_data(data=dsl.importer(artifact_uri=uri, artifact_class=Dataset).output, rows=1)

    assert run(pipeline, uri=str(tmp_path / "there.txt"))["read-data"].output_parameters["Output"]["text"] == "hello"


def test_a_notebook_runs_with_its_parameters(run, tmp_path):
    cells = ["# parameters\nwho = 'nobody'", "import pathlib; pathlib.Path(place).write_text('for ' + who)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    (tmp_path / "n.ipynb").write_text(nbformat.writes(notebook))

    @dsl.notebook_component(notebook_path=str(tmp_path / "n.ipynb"))
    def noted(who: str, place: str) -> str:
        dsl.run_notebook(who=who, place=place)
        with open(place) as stream:  # noqa: PTH123
            return stream.read()

    @dsl.pipeline(name="p")
    def pipeline(place: str):
        noted(who="you", place=place)

    result = run(pipeline, place=str(tmp_path / "told"))
    assert result["noted"].output_parameters == {"Output": "for you"}


def test_a_folder_that_is_embedded_is_there(run, tmp_path):
    (tmp_path / "words.txt").write_text("one two")

    @dsl.component(embedded_artifact_path=str(tmp_path / "words.txt"))
    def count(words: dsl.EmbeddedInput[Dataset]) -> int:
        with open(words.path) as stream:  # noqa: PTH123
            return len(stream.read().split())

    @dsl.pipeline(name="p")
    def pipeline():
        count()

    assert run(pipeline)["count"].output_parameters == {"Output": 2}


def test_a_container_component_of_python_s_image_runs(run):
    @dsl.container_component
    def say(text: str, data: Output[Dataset], out: OutputPath(str)):
        code = "import sys; [open(path, 'w').write(sys.argv[1]) for path in sys.argv[2:]]"
        return dsl.ContainerSpec(image="python:3.11-slim", command=["python3", "-c", code], args=[text, data.path, out])

    @dsl.pipeline(name="p")
    def pipeline():
        read_data(data=say(text="said").outputs["data"], rows=1)

    result = run(pipeline)
    assert result["say"].output_parameters == {"out": "said"}
    assert result["read-data"].output_parameters["Output"]["text"] == "said"


def test_the_cache_knows_source_packages_and_image(run):
    def pipeline_of(code="1", **how):
        space = {"dsl": dsl}
        source = f"def f() -> str:\n    return {code!r}\n"
        import linecache

        name = f"<light {code} {sorted(how.items())}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), space)
        step = dsl.component(space["f"], **how)

        @dsl.pipeline(name="p")
        def pipeline():
            step()

        return pipeline

    assert run(pipeline_of()).states == {"f": OK}
    assert run(pipeline_of()).states == {"f": CACHED}
    assert run(pipeline_of("2")).states == {"f": OK}
    assert run(pipeline_of(packages_to_install=["iniconfig"])).states == {"f": OK}
    assert run(pipeline_of(base_image="python:3.11-slim")).states == {"f": OK}


def test_retries_start_afresh_and_a_resumed_run_goes_on(run, tmp_path):
    @dsl.component
    def flaky(marks: str, enough: int, data: Output[Dataset]) -> int:
        import tempfile
        from pathlib import Path

        assert not Path(data.path).exists()
        (Path(tempfile.gettempdir()) / "left").touch(exist_ok=False)
        Path(data.path).write_text("half")
        tries = len(list(Path(marks).iterdir())) + 1
        (Path(marks) / str(tries)).touch()
        if tries < enough:
            raise RuntimeError(f"try {tries}")
        return tries

    @dsl.pipeline(name="p")
    def pipeline(marks: str):
        before = several(n=1)
        flaky(marks=marks, enough=3).set_retry(1, backoff_duration="0s").after(before)

    (tmp_path / "marks").mkdir()
    failed = run(pipeline, marks=str(tmp_path / "marks"))
    assert [attempt.exit_code for attempt in failed["flaky"].attempts] == [1, 1]
    resumed = run(pipeline, resumed=failed.folder, marks=str(tmp_path / "marks"))
    assert resumed["flaky"].output_parameters == {"Output": 3}
    assert resumed["several"].reason == "kept from before the run was resumed"


def test_a_function_past_its_timeout_is_ended(run):
    @dsl.component
    def hang():
        import time

        time.sleep(120)

    @dsl.pipeline(name="p")
    def pipeline():
        kubernetes.set_timeout(hang(), 1)

    assert "timed out after 1 s" in run(pipeline)["hang"].reason


def test_a_function_that_is_killed_with_the_run_is_canceled(run, tmp_path):
    @dsl.component
    def wait(seen: str):
        import time
        from pathlib import Path

        Path(seen).touch()
        time.sleep(120)

    @dsl.pipeline(name="p")
    def pipeline(seen: str):
        wait(seen=seen)

    @contextmanager
    def interrupts(stop: threading.Event):
        def watch():
            while not (tmp_path / "seen").exists() and not done.wait(0.05):
                pass
            stop.set()

        done = threading.Event()
        watcher = threading.Thread(target=watch)
        watcher.start()
        yield
        done.set()
        watcher.join()

    result = run(pipeline, interrupts=interrupts, seen=str(tmp_path / "seen"))
    assert result.states == {"wait": State.CANCELED}


def test_environments_are_made_once_a_text_of_packages(tmp_path, run):
    python = FakePython(tmp_path / "own")

    def prepared(**how):
        step = dsl.component(**how)(_nothing)
        container = step.component_spec.implementation.container
        host = python.environments.host(
            {"image": container.image, "command": container.command, "args": container.args}
        )
        host.prepare(lambda text: None)
        return host

    first = prepared()
    assert prepared().env == first.env and python.made == 1
    assert prepared(packages_to_install=["iniconfig"]).env["VIRTUAL_ENV"] != first.env["VIRTUAL_ENV"]
    prepared(pip_index_urls=["https://index.example/simple"])
    assert python.made == 3
    assert "--index-url https://index.example/simple" in python.installs[-1]
    with pytest.raises(
        PipeyardError, match=r"The packages of '_nothing' can't .*: No matching .* for nosuch==9\. Check"
    ):
        prepared(packages_to_install=["nosuch==9"])
    assert not [each for each in python.folder.iterdir() if each.is_dir() and not (each / ".complete").exists()]


def _nothing() -> str:
    return ""


def test_real_environment(tmp_path):
    """pip installs what a function needs, by the user's own index, and finds it there afterwards."""
    from kfp import compiler
    from rich.console import Console

    from pipeyard import ir
    from pipeyard.local.display import Lines
    from pipeyard.local.python_environments import PythonEnvironments
    from pipeyard.repository import project, venvs

    @dsl.component(packages_to_install=["iniconfig==2.1.0"])
    def parse(text: str) -> str:
        import os

        import iniconfig

        return iniconfig.IniConfig("x.ini", text)["a"]["b"] + os.environ["VIRTUAL_ENV"][:1]

    @dsl.pipeline(name="p")
    def pipeline():
        parse(text="[a]\nb = c")

    found = project.find(Path(__file__).parent)
    pythons = PythonEnvironments(tmp_path / "python", lambda: venvs.uv(found), os.environ)
    compiler.Compiler().compile(pipeline, str(tmp_path / "p.yaml"))
    ran, _ = runner.run(
        ir.load(tmp_path / "p.yaml"),
        {},
        tmp_path / "runs",
        runner.project_hosts(found, pythons),
        Lines(Console(quiet=True)),
    )
    assert ran.tasks[0].output_parameters == {"Output": "c/"}, ran.tasks[0].reason
