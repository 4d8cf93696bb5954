"""Documents of an environment: compiled pipelines of every shape with its deadline and retries."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, dsl

from pipeyard import ir
from pipeyard.compiling import compiler as compiling
from pipeyard.deployment import cache_keys
from pipeyard.ir import derivation
from pipeyard.ir.protobuf import pb

IMAGE = "host.io/i@sha256:1"


@dsl.container_component
def work(n: int = 1):
    return dsl.ContainerSpec(image=IMAGE, command=["work"], args=[n])


@dsl.container_component
def tell(status: dsl.PipelineTaskFinalStatus):
    return dsl.ContainerSpec(image=IMAGE, command=["tell"], args=[status])


@dsl.container_component
def make(number: dsl.OutputPath(int)):
    return dsl.ContainerSpec(image=IMAGE, command=["make"], args=[number])


@dsl.pipeline
def inner(n: int = 1):
    work(n=n).set_display_name("other")


@dsl.pipeline(name="shapes")
def shapes():
    with dsl.ExitHandler(tell()):
        made = make()
        with dsl.If(made.outputs["number"] == 3):
            work(n=made.outputs["number"])
        with dsl.ParallelFor([1, 2], parallelism=1) as item:
            work(n=item)
        inner(n=1)
        inner(n=2)
        dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Dataset)


@dsl.pipeline(name="own", pipeline_config=dsl.PipelineConfig(active_deadline_seconds=600, ttl_seconds_after_finished=5))
def own():
    work().set_retry(7, backoff_duration="60s", backoff_max_duration="900s")
    make()


def _compiled(pipeline, tmp_path, platform="") -> str:
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path.read_text(encoding="utf-8") + platform


@pytest.fixture
def text(tmp_path):
    return _compiled(shapes, tmp_path)


def _kinds(text: str) -> dict[str, str]:
    return {step.path: step.kind for step in derivation.steps(text)}


def _policies(text: str) -> dict[str, dict]:
    return {step.path: step.task["retryPolicy"] for step in derivation.steps(text) if "retryPolicy" in step.task}


def _kubernetes(text: str) -> dict:
    (platform,) = list(yaml.safe_load_all(text))[1:]
    json_format.ParseDict(platform, pb.PlatformSpec(), ignore_unknown_fields=False)
    return platform["platforms"]["kubernetes"]


def _problems(text: str, retries: dict[str, int]) -> list[tuple[str, str]]:
    return list(derivation.problems(derivation.steps(text), retries))


def test_without_limits_it_is_the_very_same_text(text):
    assert derivation.derive(text, None, {}) is text


def test_tasks_are_found_in_handlers_conditions_loops_and_nested_pipelines(text):
    kinds = _kinds(text)
    assert kinds["tell"] == kinds["exit-handler-1/make"] == "step"
    assert kinds["exit-handler-1"] == kinds["exit-handler-1/inner"] == "group"
    assert kinds["exit-handler-1/importer"] == "importer"
    assert {path for path, kind in kinds.items() if kind == "step"} == {
        "tell",
        "exit-handler-1/make",
        "exit-handler-1/condition-2/work",
        "exit-handler-1/for-loop-4/work-2",
        "exit-handler-1/inner/work",
        "exit-handler-1/inner-2/work",
    }


def test_retries_for_all_go_into_every_step_and_into_no_group_or_importer(text):
    derived = derivation.derive(text, None, {derivation.ALL: 2})
    kinds = _kinds(text)
    assert _policies(derived).keys() == {path for path, kind in kinds.items() if kind == "step"}
    assert {policy["maxRetryCount"] for policy in _policies(derived).values()} == {2}
    assert len(list(yaml.safe_load_all(derived))) == 1
    ir.parse(derived)  # and so the runner takes it, which refuses retries of groups


def test_the_longest_key_counts_and_a_zero_takes_retries_away(text):
    retries = {derivation.ALL: 1, "make": 0, "inner/work": 3, "exit-handler-1/inner-2/work": 3, "tell": 5}
    counts = {path: each["maxRetryCount"] for path, each in _policies(derivation.derive(text, None, retries)).items()}
    assert counts["tell"] == 5
    assert counts["exit-handler-1/inner/work"] == counts["exit-handler-1/inner-2/work"] == 3
    assert "exit-handler-1/make" not in counts
    assert set(counts.values()) == {1, 3, 5}


def test_a_retry_is_what_kfp_s_compiler_writes_but_for_its_hour(tmp_path):
    @dsl.pipeline(name="one")
    def by_kfp():
        make().set_retry(2)

    @dsl.pipeline(name="one")
    def plain():
        make()

    theirs = _policies(_compiled(by_kfp, tmp_path))["make"]
    ours = _policies(derivation.derive(_compiled(plain, tmp_path), None, {"make": 2}))["make"]
    assert theirs.pop("backoffMaxDuration") == "3600s"
    # Argo counts it from the first attempt's start: a step of two hours would never be retried.
    assert ours.pop("backoffMaxDuration") == "604800s"
    assert ours == theirs


def test_all_attempts_of_a_step_are_within_the_deadline(text):
    policies = _policies(derivation.derive(text, 7200.0, {"make": 2}))
    assert policies["exit-handler-1/make"]["backoffMaxDuration"] == "7200s"


def test_the_author_s_pauses_stay_where_the_count_is_replaced(tmp_path):
    text = _compiled(own, tmp_path)
    assert _policies(derivation.derive(text, None, {"work": 1}))["work"] == {
        **_policies(text)["work"],
        "maxRetryCount": 1,
    }
    assert "work" not in _policies(derivation.derive(text, None, {"work": 0}))


def test_a_deadline_is_what_kfp_s_compiler_writes_for_a_run_and_on_every_container(text, tmp_path):
    kubernetes = _kubernetes(derivation.derive(text, 3600.0, {}))

    @dsl.pipeline(name="one", pipeline_config=dsl.PipelineConfig(active_deadline_seconds=3600))
    def by_kfp():
        make()

    assert kubernetes["pipelineConfig"] == _kubernetes(_compiled(by_kfp, tmp_path))["pipelineConfig"]
    executors = yaml.safe_load(text)["deploymentSpec"]["executors"]
    containers = {label for label, each in executors.items() if "container" in each}
    assert set(executors) - containers  # the importer's, which has no pod that the driver patches
    # As kfp.kubernetes.set_timeout writes it: protobuf's JSON has text for 64 bits.
    assert kubernetes["deploymentSpec"]["executors"] == {
        label: {"activeDeadlineSeconds": "3600"} for label in containers
    }


def test_parts_of_a_second_are_rounded_up(text):
    assert ir.parse(derivation.derive(text, 1.2, {})).deadline == 2


@pytest.mark.parametrize(("deadline", "run", "step"), [(60.0, 60, "60"), (7200.0, 600, "120")])
def test_a_platform_document_of_the_pipeline_s_own_stays_and_the_shorter_limit_counts(tmp_path, deadline, run, step):
    text = _compiled(own, tmp_path)
    spec, platform = yaml.safe_load_all(text)
    theirs = {"activeDeadlineSeconds": "120", "nodeSelector": {"labels": {"gpu": "yes"}}}
    platform["platforms"]["kubernetes"]["deploymentSpec"] = {"executors": {"exec-work": theirs}}
    platform["platforms"]["elsewhere"] = {"deploymentSpec": {"executors": {}}}
    given = yaml.safe_dump_all([spec, platform])
    derived = derivation.derive(given, deadline, {})
    kubernetes = _kubernetes(derived)
    assert kubernetes["pipelineConfig"] == {"activeDeadlineSeconds": run, "resourceTtlOnCompletion": 5}
    executors = kubernetes["deploymentSpec"]["executors"]
    assert executors["exec-work"] == {**theirs, "activeDeadlineSeconds": step}
    assert executors["exec-make"] == {"activeDeadlineSeconds": str(int(deadline))}
    assert "elsewhere" in list(yaml.safe_load_all(derived))[1]["platforms"]


def test_nothing_else_of_the_pipeline_changes(text):
    derived = derivation.derive(text, 60.0, {"make": 1})
    spec = next(yaml.safe_load_all(derived))
    before = yaml.safe_load(text)
    del spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["make"]["retryPolicy"]
    assert spec == before


def test_values_that_yaml_reads_as_something_else_stay_text(tmp_path):
    odd = ["yes", "1e5", "12:30", "2020-01-01", "0x1f", "~", "é\n\ttwo lines ", "'\"{{$.other}}"]

    @dsl.container_component
    def say(what: str):
        return dsl.ContainerSpec(image=IMAGE, command=["say"], args=[what, *odd])

    @dsl.pipeline(name="odd")
    def pipeline():
        for each in odd:
            say(what=each)

    text = _compiled(pipeline, tmp_path)
    before, after = ir.parse(text), ir.parse(derivation.derive(text, 60.0, {"say": 1}))
    assert after.executors == before.executors
    constants = [
        {name: task.inputs.parameters["what"].runtime_value.constant.string_value for name, task in tasks.items()}
        for tasks in (each.spec.root.dag.tasks for each in (before, after))
    ]
    assert constants[0] == constants[1]
    assert set(constants[0].values()) == set(odd)


def test_the_same_is_derived_in_another_process(text, tmp_path):
    path = tmp_path / "text.yaml"
    path.write_text(text, encoding="utf-8")
    program = (
        "import sys; from pathlib import Path; from pipeyard.ir import derivation; sys.stdout.write("
        f"derivation.derive(Path({str(path)!r}).read_text(), 60.0, {{'*': 1, 'make': 2}}))"
    )
    seed = {"PYTHONHASHSEED": str(random.randrange(1000))}
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=seed).stdout
    assert said == derivation.derive(text, 60.0, {"*": 1, "make": 2})


@pytest.mark.parametrize("pipeline", ["chicago_taxi", "flights"])
def test_the_real_pipelines_take_limits_by_the_names_of_steps(pipeline):
    text = compiling.compile_pipeline(Path(__file__).parents[3] / "pipelines" / pipeline).shipped()
    retries = {"train": 2, "condition-3/deploy": 1}
    assert not _problems(text, retries)
    derived = derivation.derive(text, 3600.0, retries)
    counts = {path.rpartition("/")[2]: each["maxRetryCount"] for path, each in _policies(derived).items()}
    assert counts == {"train": 2, "deploy": 1}
    assert ir.parse(derived).deadline == 3600
    assert cache_keys.read(derived, {}) == cache_keys.read(text, {})  # the cache's keys are the same


def test_an_unknown_step_is_told_with_near_misses(text):
    ((key, told),) = _problems(text, {"mak": 1})
    assert key == "mak"
    assert told.startswith("the pipeline has no step 'mak'. Did you mean 'make'?")
    ((_, told),) = _problems(text, {"exit-handler-1/mak": 1})
    assert "Did you mean 'exit-handler-1/make'" in told


def test_a_group_is_told_with_its_steps(text):
    ((_, told),) = _problems(text, {"inner": 1})
    assert told == "'inner' is a group, and retries are of steps. Name exit-handler-1/inner/work."


def test_an_importer_is_told(text):
    ((_, told),) = _problems(text, {"importer": 1})
    assert told.startswith("'importer' imports an artifact")


def test_two_counts_for_one_compiled_step_are_told(text):
    assert not _problems(text, {"inner-2/work": 2})  # kfp compiles the nested pipeline twice
    spec = yaml.safe_load(text)
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    tasks["inner-2"]["componentRef"] = tasks["inner"]["componentRef"]
    text = yaml.safe_dump(spec)
    ((key, told),) = _problems(text, {"inner-2/work": 2})
    assert key == "inner-2/work"
    assert "exit-handler-1/inner/work and exit-handler-1/inner-2/work are compiled to one step" in told
    assert not _problems(text, {"inner-2/work": 2, "inner/work": 2})
    assert not _problems(text, {"tell": 1, "*": 2})
