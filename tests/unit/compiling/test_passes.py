"""Compiled pipelines under KFP 2.17.0's driver: defaults as constants, what can't be started, the cache, sizes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kfp import compiler
from servers import driver
from support.compiled_pipelines import compiled

from pipeyard.compiling import compiler as compiling
from pipeyard.deployment import cache_keys, planner
from pipeyard.deployment.targets.kfp import OnKubeflow
from pipeyard.errors import PipeyardError
from pipeyard.ir import cache_override as caches
from pipeyard.packages import archives, builds
from pipeyard.repository.project import Project

ROOT = Path(__file__).parents[3]
DEMOS = ["chicago_taxi", "flights"]
NEEDED = {"source": "gs://data/*.csv", "serving_uri": "gs://serving", "registry_uri": "https://mlflow"}

ECHO = """
inputs:
- {name: text, type: String, default: none, optional: true}
- {name: empty, type: String, default: '', optional: true}
- {name: count, type: Integer, default: '3', optional: true}
- {name: ratio, type: Float, default: '2.0', optional: true}
- {name: flag, type: Boolean, default: 'false', optional: true}
- {name: items, type: JsonArray, default: '[1, {"a": []}]', optional: true}
- {name: fields, type: JsonObject, default: '{}', optional: true}
outputs: [{name: flags, type: Boolean}, {name: words, type: JsonArray}]
implementation:
  container:
    image: i
    command: [echo]
    args: [{inputValue: text}, {inputValue: empty}, {inputValue: count}, {inputValue: ratio}, {inputValue: flag},
      {inputValue: items}, {inputValue: fields}, {outputPath: flags}, {outputPath: words}]
"""
OPTIONAL = """
inputs: [{{name: note, type: String, optional: true}}, {{name: data, type: Dataset, optional: true}}]
outputs: [{{name: made, type: Dataset}}]
implementation: {{container: {{image: i, command: [echo], args: [{args}]}}}}
"""
PRESENT = "{if: {cond: {isPresent: note}, then: [--note, {inputValue: note}], else: [--none]}}"
READER = """
metadata: {annotations: {pipeyard.dev/external-state: '["{source}", "{folder}/{text}"]'}}
inputs:
- {name: source, type: String, default: '', optional: true}
- {name: folder, type: String, default: '', optional: true}
- {name: text, type: String, default: '', optional: true}
- {name: data, type: Dataset, optional: true}
outputs: [{name: made, type: Dataset}, {name: rows, type: Integer}]
implementation:
  container:
    image: i
    command: [read]
    args: [{inputValue: source}, {inputValue: folder}, {inputValue: text}, {outputPath: made}, {outputPath: rows}]
"""
BIG = """
inputs:
- {name: text, type: String}
- {name: module, type: String, default: '', optional: true}
- {name: module_uri, type: String, default: '', optional: true}
implementation:
  container: {image: i, command: [big], args: [{inputValue: text}, {inputValue: module}, {inputValue: module_uri}]}
"""


@pytest.fixture(scope="module", params=DEMOS)
def demo(request):
    return compiling.compile_pipeline(ROOT / "pipelines" / request.param)


def _as_kfp_compiles_it(folder):
    """Compiles without what Pipeyard adds."""
    import runpy

    pipelines = [
        each for each in runpy.run_path(str(folder / "pipeline.py")).values() if hasattr(each, "pipeline_spec")
    ]
    path = folder / "kfp.yaml"
    compiler.Compiler().compile(pipelines[-1], str(path))
    return path.read_text(encoding="utf-8")


def _echoed(text, **parameters):
    return {path: command[1:8] for path, command in driver.commands(text, parameters).items()}


DEFAULTS = ["none", "", "3", "2", "false", '[1,{"a":[]}]', "{}"]


def test_the_shipped_pipelines_start_under_the_driver_of_2_17_0(demo):
    started = driver.commands(demo.shipped(), NEEDED)
    names = {path.rpartition("/")[2] for path in started}
    steps = {"extract", "data-validation", "transform", "train", "evaluate", "deploy", "summarize"}
    assert names == steps | {"check-evaluate"}
    extract = started["exit-handler-1/extract"]
    given = dict(zip(extract[3::2], extract[4::2], strict=True))
    assert given["--source"] == "gs://data/*.csv"
    assert (given["--format"], given["--query"], given["--columns"]) == ("auto", "", "[]")
    assert given["--rows-per-shard"] == "1000000"
    assert json.loads(given["--splits"]) == {"train": 4, "eval": 1, "test": 1}


def test_the_drivers_model_refuses_what_kfp_compiles(tmp_path):
    text = compiled(tmp_path, {"echo": ECHO}, "@dsl.pipeline\ndef p(): echo(text='x')").text
    tasks = yaml.safe_load(text)["root"]["dag"]["tasks"]
    del tasks["echo"]["inputs"]["parameters"]["empty"]
    bare = yaml.safe_dump(yaml.safe_load(text) | {"root": {"dag": {"tasks": tasks}}})
    with pytest.raises(driver.Refused, match='echo: .* parameter "empty" not found in executor input'):
        driver.commands(bare, {})


def test_defaults_of_every_type_become_constants_and_given_values_stay(tmp_path):
    made = compiled(tmp_path, {"echo": ECHO}, "@dsl.pipeline\ndef p(n: int = 5): echo(count=n, text='x')")
    task = yaml.safe_load(made.text)["root"]["dag"]["tasks"]["echo"]["inputs"]["parameters"]
    assert task["count"] == {"componentInputParameter": "n"}
    constants = {name: each["runtimeValue"]["constant"] for name, each in task.items() if "runtimeValue" in each}
    assert constants == {
        "text": "x", "empty": "", "ratio": 2.0, "flag": False, "items": [1.0, {"a": []}], "fields": {},
    }  # fmt: skip
    assert _echoed(made.text, n=7)["echo"] == ["x", "", "7", "2", "false", '[1,{"a":[]}]', "{}"]


def test_defaults_are_written_in_groups_loops_exit_handlers_and_pipelines_in_pipelines(tmp_path):
    body = """
@dsl.pipeline
def _inner(words: list = ["a"], factor: float = 0.5, word: str = ""):
    echo(ratio=factor, text=word)
    with dsl.ParallelFor(words) as each:
        echo(text=each)

@dsl.pipeline
def p(outer: bool = True):
    with dsl.ExitHandler(echo(text="end")):
        first = echo()
        with dsl.If(first.outputs["flags"] == True):
            _inner(word="given")
        with dsl.Else():
            _inner(factor=1.5)
        with dsl.ParallelFor(first.outputs["words"]):
            echo(flag=outer)
"""
    made = compiled(tmp_path, {"echo": ECHO}, body)
    echoed = _echoed(made.shipped())
    assert len(echoed) == 7
    assert echoed["echo"] == ["end", *DEFAULTS[1:]]
    assert echoed["exit-handler-1/echo-2"] == DEFAULTS
    inner = "exit-handler-1/condition-branches-2/condition-3/inner"
    assert echoed[f"{inner}/echo"] == ["given", "", "3", "0.5", *DEFAULTS[4:]]
    assert echoed[f"{inner}/for-loop-1/echo-2"] == ["a", *DEFAULTS[1:]]
    other = "exit-handler-1/condition-branches-2/condition-4/inner-2/echo"
    assert echoed[other][:4] == ["", "", "3", "1.5"]
    spec = yaml.safe_load(made.text)
    written = [
        task["inputs"]["parameters"]
        for component in spec["components"].values()
        for name, task in component.get("dag", {}).get("tasks", {}).items()
        if name.startswith("inner")
    ]
    assert [set(each) for each in written] == [{"words", "factor", "word"}] * 2


def test_defaults_change_neither_parameters_of_the_pipeline_nor_what_steps_are_known_by(demo, tmp_path):
    spec = yaml.safe_load(demo.text)
    folder = ROOT / "pipelines" / spec["pipelineInfo"]["name"].replace("-", "_")
    (tmp_path / "pipelines" / "p").mkdir(parents=True)
    for file in ("module.py", "schema.pbtxt", "pipeline.py"):
        (tmp_path / "pipelines" / "p" / file).write_bytes((folder / file).read_bytes())
    (tmp_path / "components").symlink_to(ROOT / "components")
    before = _as_kfp_compiles_it(tmp_path / "pipelines" / "p")
    with pytest.raises(driver.Refused, match="not found in executor input"):
        driver.commands(before, NEEDED)
    assert yaml.safe_load(before)["root"] == spec["root"]
    assert cache_keys.read(before, NEEDED) == cache_keys.read(demo.text, NEEDED)


def test_the_text_is_the_same_in_every_process():
    folder = ROOT / "pipelines" / "chicago_taxi"
    one, two = compiling.compile_apart(folder), compiling.compile_apart(folder)
    assert one.text == two.text and one.shipped() == two.shipped() != one.text


def test_an_optional_input_without_default_stays_out_and_its_condition_is_decided(tmp_path):
    components = {"note": OPTIONAL.format(args=PRESENT)}
    made = compiled(tmp_path, components, "@dsl.pipeline\ndef p(x: Optional[str] = None): note(); note(note=x)")
    assert not made.warnings
    assert "inputs" not in yaml.safe_load(made.text)["root"]["dag"]["tasks"]["note"]
    assert driver.commands(made.text, {}) == {"note": ["echo", "--none"], "note-2": ["echo", "--none"]}
    assert driver.commands(made.text, {"x": "hi"})["note-2"] == ["echo", "--note", "hi"]


@pytest.mark.parametrize(
    ("args", "call", "told"),
    [
        (
            "{if: {cond: {isPresent: data}, then: [{inputPath: data}]}}",
            "note(data=note(note='x').outputs['made'])",
            "note-2: `isPresent` of the artifact 'data' is never true",
        ),
        (
            "{if: {cond: {isPresent: note}, then: [--made, {outputPath: made}]}}",
            "note(note='x')",
            "around an output reaches the program unresolved",
        ),
        (
            "{if: {cond: {isPresent: note}, then: [{if: {cond: {isPresent: note}, then: [a]}}]}}",
            "note(note='x')",
            "has a condition or `concat` inside",
        ),
        (
            "{concat: [a, {inputValue: note}]}",
            "note(note='x')",
            "note: `concat` reaches the program unresolved on Kubeflow Pipelines",
        ),
    ],
)
def test_what_kubeflow_alone_gets_wrong_is_refused_there(tmp_path, args, call, told):
    made = compiled(tmp_path, {"note": OPTIONAL.format(args=args)}, f"@dsl.pipeline\ndef p(): {call}")
    (warning,) = made.warnings
    assert told in warning and warning.endswith("It can't be deployed to Kubeflow Pipelines as it is.")
    assert "Concat" in archives.vertex(made.text) or "IfPresent" in archives.vertex(made.text)
    place = SimpleNamespace(name="dev")
    with pytest.raises(PipeyardError, match="p can't run in 'dev', which is on Kubeflow Pipelines: note"):
        OnKubeflow.check_package(place, SimpleNamespace(pipeline="p", text=made.text))


def test_a_step_without_a_value_for_its_input_is_refused(tmp_path):
    with pytest.raises(PipeyardError, match="note: KFP 2.17 can't start it without its input 'note'"):
        compiled(tmp_path, {"note": OPTIONAL.format(args="{inputValue: note}")}, "@dsl.pipeline\ndef p(): note()")


@pytest.mark.parametrize(
    "body",
    [
        "@dsl.pipeline\ndef p(x: Optional[str] = None): note(note=x)",
        "@dsl.pipeline\ndef _i(x: Optional[str] = None): note(note=x)\n"
        "@dsl.pipeline\ndef p(x: Optional[str] = None): _i(x=x)",
    ],
)
def test_a_parameter_that_a_run_may_leave_out_is_warned_of_where_a_step_needs_it(tmp_path, body):
    made = compiled(tmp_path, {"note": OPTIONAL.format(args="{inputValue: note}")}, body)
    assert any("when a run leaves the parameter 'x' out. Give it a default" in each for each in made.warnings)
    assert driver.commands(made.text, {"x": "hi"})
    with pytest.raises(driver.Refused):
        driver.commands(made.text, {})


def _cached(text):
    return {path.rpartition("/")[2]: step.cached for path, step in cache_keys.read(text, NEEDED).items()}


def _enabled(text):
    spec = yaml.safe_load(text)
    return {
        name: bool(task.get("cachingOptions", {}).get("enableCache"))
        for component in (spec["root"], *spec["components"].values())
        for name, task in component.get("dag", {}).get("tasks", {}).items()
    }


def test_servers_cache_no_step_that_reads_outside_the_run(demo):
    here, there = _enabled(demo.text), _enabled(demo.shipped())
    assert {name for name in here if here[name] and not there[name]} == {
        "extract", "data-validation", "evaluate", "deploy",
    }  # fmt: skip
    assert there["transform"] and there["train"]


def test_only_inputs_that_may_be_given_count_as_outside(tmp_path):
    body = """
@dsl.pipeline
def _inner(place: str = ""):
    reader(source=place)

@dsl.pipeline
def p(place: str = ""):
    reader()
    reader(source="s3://fixed")
    reader(source=place)
    reader(folder="s3://f")
    reader(folder="s3://f", text="t")
    _inner()
"""
    made = compiled(tmp_path, {"reader": READER}, body)
    assert made.reads_outside == {("", "reader-2"), ("", "reader-3"), ("", "reader-5")}
    inner = compiled(tmp_path, {"reader": READER}, body.replace("_inner()", "_inner(place=place)"))
    assert ("comp-inner", "reader") in inner.reads_outside


def test_a_cache_key_which_the_driver_of_2_17_0_does_not_read_turns_nothing_on(tmp_path):
    body = "@dsl.pipeline\ndef p(place: str): reader(source=place).set_caching_options(True, cache_key='2026-11')"
    made = compiled(tmp_path, {"reader": READER}, body)
    assert _enabled(made.text) == {"reader": True} and _enabled(made.shipped()) == {"reader": False}


def test_a_package_has_the_servers_caching_for_both_targets(tmp_path):
    compiled(tmp_path / "pipelines" / "p", {"reader": READER}, "@dsl.pipeline\ndef p(): reader(source='s3://fixed')")
    (tmp_path / "settings.yaml").write_text("environments: {}\n", encoding="utf-8")
    package, _ = builds.package(Project(tmp_path), "p", builds.Build("c" * 40, {}, tmp_path / "none"))
    for name in ("pipeline.yaml", "vertex.json"):
        assert _enabled(package[name]) == {"reader": False}


def test_no_override_turns_on_the_cache_of_a_step_that_reads_outside(demo):
    spec = yaml.safe_load(demo.shipped())
    assert _enabled(yaml.safe_dump(caches.override(spec, True))) == _enabled(demo.shipped())
    assert not any(_enabled(yaml.safe_dump(caches.override(spec, False))).values())


def test_a_plan_tells_of_no_cache_that_a_step_never_had(demo, tmp_path):
    assert not any(_cached(demo.shipped()).values())
    before, after = (cache_keys.read(demo.shipped(), NEEDED | {"epochs": epochs}) for epochs in (1, 2))
    assert not list(planner.uncached(before, after))
    body = "@dsl.pipeline\ndef p():\n    made = reader(source='s3://x')\n    echo(count=made.outputs['rows'])\n    "
    body += "reader(data=made.outputs['made'])"
    text = compiled(tmp_path, {"reader": READER, "echo": ECHO}, body).shipped()
    assert _cached(text) == {"reader": False, "echo": True, "reader-2": False}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            "big(text='x' * 96_000)",
            "'big' can't be started on KFP: its parameters .* 96 KB of them are the input 'text'",
        ),
        ("big(text='\"' * 50_000)", "'big' can't be started"),  # 50 KB, and 100 KB with its escapes
        ("big(text='x' * 50_000, module='x' * 50_000)", "'big' can't be started"),
        ("big(text='', module='\\n' * 60_000)", "the input 'module'. Pass it by URI, as 'module_uri'"),
    ],
)
def test_what_is_too_large_as_the_launcher_passes_it_is_refused(tmp_path, call, told):
    with pytest.raises(PipeyardError, match=told):
        compiled(tmp_path, {"big": BIG}, f"@dsl.pipeline\ndef p(): {call}")


def test_near_the_limit_is_warned_of_once_a_step(tmp_path):
    made = compiled(
        tmp_path, {"big": BIG}, "@dsl.pipeline\ndef p(x: str = 'x' * 40_000): big(text=x, module='é' * 13_000)"
    )
    (warning,) = made.warnings
    assert "the step 'big' is near the 96 KB that KFP can't start" in warning
    assert "40 KB of them are the input 'text'" in warning


def test_parameters_of_an_environment_count_in_its_package(tmp_path):
    folder = tmp_path / "pipelines" / "p"
    body = "@dsl.pipeline\ndef p(x: str): big(text=x, module='x' * 50_000)"
    assert not compiled(folder, {"big": BIG}, body).warnings
    settings = "environments:\n  {name}: {{target: {target}, {where}, parameters: {{x: '{value}'}}}}\n"
    cluster = {
        "name": "dev",
        "target": "kfp",
        "where": "host: https://kfp.example, pipeline_root: 's3://b', bucket: 'gs://bucket'",
    }
    build = builds.Build("c" * 40, {}, tmp_path / "none")

    def package(value, **place):
        text = settings.format(value=value, **place)
        (tmp_path / "settings.yaml").write_text(text, encoding="utf-8")
        return builds.package(Project(tmp_path), "p", build)[1]

    assert package("x" * 20_000, **cluster)[0].startswith("dev: the step 'big' is near")
    with pytest.raises(PipeyardError, match="p with the parameters of dev in settings.yaml: the step 'big' can't be"):
        package("x" * 60_000, **cluster)
    (told,) = package("x" * 60_000, name="here", target="local", where=f"pipeline_root: {tmp_path}")
    assert "the image 'i' isn't one of this project's" in told
