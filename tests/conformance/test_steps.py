"""Single tasks: values in and out, retries, timeouts, outputs, the cache, stopping."""

import fcntl
import json
import os
import threading
import time
from contextlib import contextmanager

import pytest
from kfp import dsl
from support.tiny_components import component

from pipeyard.errors import PipeyardError
from pipeyard.local import launcher, runner
from pipeyard.runs import record, run_lock
from pipeyard.runs.record import State

OK, CACHED, FAILED = State.SUCCEEDED, State.CACHED, State.FAILED

show = component(
    "show",
    {
        "s": "String=d",
        "i": "Integer=7",
        "f": "Float=0.5",
        "b": "Boolean=True",
        "a": "JsonArray=[64, 32]",
        "o": "JsonObject={}",
    },
    {"said": "JsonObject"},
    "write(OUT['said'], IN)",
)


def test_values_arrive_as_text_of_their_type(run):
    @dsl.pipeline(name="p")
    def pipeline(s: str, i: int, f: float, b: bool, a: list, o: dict):
        show(s=s, i=i, f=f, b=b, a=a, o=o)

    result = run(pipeline, s='it\'s {{$.inputs}} "x"', i=3, f=2.5, b=False, a=[1, "two", 2.5], o={"k": [1]})
    said = result["show"].output_parameters["said"]
    assert said["s"] == 'it\'s {{$.inputs}} "x"'
    assert (said["i"], said["f"], said["b"]) == ("3", "2.5", "false")
    assert (json.loads(said["a"]), json.loads(said["o"])) == ([1, "two", 2.5], {"k": [1]})


def test_defaults_of_the_component_apply(run):
    @dsl.pipeline(name="p")
    def pipeline():
        show()

    said = run(pipeline)["show"].output_parameters["said"]
    assert said == {"s": "d", "i": "7", "f": "0.5", "b": "true", "a": "[64, 32]", "o": "{}"}


@pytest.mark.parametrize(("given", "expected"), [({}, {}), ({"note": "hello"}, {"note": "hello"})])
def test_optional_inputs_are_left_out_when_absent(run, given, expected):
    maybe = component(
        "maybe", {"note": "String?", "data": "Dataset?"}, {"said": "JsonObject"}, "write(OUT['said'], IN)"
    )

    @dsl.pipeline(name="p")
    def pipeline(note: str = None):  # noqa: RUF013  # kfp reads the annotation
        maybe(note=note)

    assert run(pipeline, **given)["maybe"].output_parameters["said"] == expected


def test_f_strings_join_outputs_and_parameters(run):
    @dsl.pipeline(name="p")
    def pipeline(n: int = 2):
        first = show(s="a")
        show(s=f"n={n} from {first.outputs['said']}")

    result = run(pipeline)
    assert result["show-2"].output_parameters["said"]["s"].startswith("n=2 from {")


def test_artifacts_and_their_metadata_pass_on(run):
    make = component(
        "make",
        {},
        {"data": "Dataset", "metrics": "Metrics"},
        """
        write(OUT['data'] + '/part', 'rows')
        write(OUT['metrics'], '{}')
        ei = json.loads(RAW)
        art = ei['outputs']['artifacts']['metrics']['artifacts'][0]
        told = {'metrics': {'artifacts': [{**art, 'metadata': {'auc': 0.5}}]}}
        write(ei['outputs']['outputFile'], {'artifacts': told})
        """,
    )
    read = component(
        "read",
        {"data": "Dataset", "metrics": "Metrics"},
        {"text": "String", "auc": "Float"},
        """
        write(OUT['text'], (Path(IN['data']) / 'part').read_text())
        write(OUT['auc'], json.loads(RAW)['inputs']['artifacts']['metrics']['artifacts'][0]['metadata']['auc'])
        """,
    )

    @dsl.pipeline(name="p")
    def pipeline():
        made = make()
        read(data=made.outputs["data"], metrics=made.outputs["metrics"])

    result = run(pipeline)
    assert result["read"].output_parameters == {"text": "rows", "auc": 0.5}
    artifact = result["make"].output_artifacts["data"]
    assert (artifact.type, artifact.bytes, len(artifact.digest)) == ("system.Dataset", 4, 64)
    assert result["read"].upstream == ["make"]


def test_importer_brings_an_artifact_in_and_complains_of_an_absent_one(run, tmp_path):
    read = component(
        "read", {"data": "Dataset"}, {"text": "String"}, "write(OUT['text'], Path(IN['data']).read_text())"
    )
    (tmp_path / "there.txt").write_text("hello")

    @dsl.pipeline(name="p")
    def pipeline(uri: str):
        read(data=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset).output)

    assert run(pipeline, uri=str(tmp_path / "there.txt"))["read"].output_parameters == {"text": "hello"}
    missing = run(pipeline, uri=str(tmp_path / "nowhere"))
    assert missing.run.state == FAILED
    assert "nothing is at" in missing["importer"].reason


def test_retry_runs_again_without_what_the_failed_attempt_left(run, tmp_path):
    flaky = component(
        "flaky",
        {"folder": "String"},
        {"data": "Dataset", "tries": "Integer"},
        """
        marks = list(Path(IN['folder']).glob('try-*'))
        assert not Path(OUT['data']).exists(), 'left over'
        (Path(IN['folder']) / f'try-{len(marks)}').touch()
        write(OUT['data'], 'half')
        if len(marks) < 2: sys.exit(1)
        write(OUT['tries'], len(marks) + 1)
        """,
    )

    @dsl.pipeline(name="p")
    def pipeline(folder: str):
        flaky(folder=folder).set_retry(3, backoff_duration="0s")

    result = run(pipeline, folder=str(tmp_path))
    assert result["flaky"].output_parameters == {"tries": 3}
    assert [attempt.exit_code for attempt in result["flaky"].attempts] == [1, 1, 0]


def test_a_task_past_its_timeout_is_stopped_with_its_children(run):
    slow = component(
        "slow",
        {},
        {"x": "String"},
        "import subprocess; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
    )

    @dsl.pipeline(name="p")
    def pipeline():
        slow()

    platform = (
        "---\nplatforms:\n  kubernetes:\n    deploymentSpec:\n      executors:\n"
        "        exec-slow:\n          activeDeadlineSeconds: 1\n"
    )
    began = time.monotonic()
    result = run(pipeline, platform=platform)
    assert result.run.state == FAILED
    assert "timed out after 1 s" in result["slow"].reason
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("output", ["text", "data"])
def test_an_output_that_is_not_written_fails_the_task(run, output):
    kinds = {"text": "String", "data": "Dataset"}
    lazy = component("lazy", {}, {output: kinds[output]}, "print('done')")

    @dsl.pipeline(name="p")
    def pipeline():
        lazy()

    result = run(pipeline)
    assert result["lazy"].reason == f"it ended well but did not write its outputs {output}"


def test_an_output_of_the_wrong_type_fails_the_task(run):
    wrong = component("wrong", {}, {"n": "Integer"}, "write(OUT['n'], 'three')")

    @dsl.pipeline(name="p")
    def pipeline():
        wrong()

    assert run(pipeline)["wrong"].reason == "the output 'n' is 'three', which isn't a whole number."


def test_the_second_run_takes_everything_from_the_cache(run):
    @dsl.pipeline(name="p")
    def pipeline(s: str):
        show(s=s)
        show(s="never cached").set_caching_options(False)

    first = run(pipeline, s="a")
    second = run(pipeline, s="a")
    assert second.states == {"show": CACHED, "show-2": OK}
    assert second["show"].cached_from == first.run.id
    assert run(pipeline, s="b").states["show"] == OK
    fresh = run(pipeline, options=runner.Options(use_cache=False), s="a")
    assert fresh.states["show"] == OK


def test_the_cache_notices_an_overwritten_artifact(run):
    make = component("make", {}, {"data": "Dataset"}, "write(OUT['data'], 'rows')")

    @dsl.pipeline(name="p")
    def pipeline():
        make()

    first = run(pipeline)
    (first.folder / "tasks/make/outputs/data").write_text("tampered")
    assert run(pipeline).states == {"make": OK}


def test_parameters_are_checked_before_anything_runs(run, tmp_path):
    @dsl.pipeline(name="p")
    def pipeline(epochs: int, name: str):
        show(i=epochs, s=name)

    with pytest.raises(PipeyardError) as error:
        run(pipeline, epoch=3, name="x")
    assert "there is no parameter 'epoch'. Did you mean 'epochs'?" in str(error.value)
    assert "the parameter 'epochs' has no value" in str(error.value)
    with pytest.raises(PipeyardError, match="the parameter 'epochs' is 'three', which isn't a whole number"):
        run(pipeline, epochs="three", name="x")
    assert not (tmp_path / "runs").exists()


def test_a_stopped_run_is_canceled_and_resumes_where_it_was(run, tmp_path):
    wait = component(
        "wait",
        {"gate": "String", "before": "JsonObject"},
        {"x": "String"},
        """
        import time
        Path(IN['gate'] + '.seen').touch()
        end = time.time() + 60
        while not Path(IN['gate']).exists() and time.time() < end: time.sleep(0.05)
        write(OUT['x'], 'through')
        """,
    )

    @dsl.pipeline(name="p")
    def pipeline(gate: str):
        first = show(s="first").set_caching_options(False)
        wait(gate=gate, before=first.outputs["said"])

    gate = tmp_path / "gate"

    @contextmanager
    def stop_when_waiting(stop: threading.Event):
        def watch():
            while not (tmp_path / "gate.seen").exists():
                time.sleep(0.05)
            stop.set()

        thread = threading.Thread(target=watch)
        thread.start()
        yield
        thread.join()

    stopped = run(pipeline, gate=str(gate), interrupts=stop_when_waiting)
    assert stopped.run.state == State.CANCELED
    assert stopped.states == {"show": OK, "wait": State.CANCELED}

    gate.touch()
    resumed = run(pipeline, gate=str(gate), resumed=stopped.folder)
    assert resumed.run.id == stopped.run.id
    assert resumed.states == {"show": OK, "wait": OK}
    assert len(resumed["show"].attempts) == 1
    assert resumed["show"].reason == "kept from before the run was resumed"
    assert [attempt.error for attempt in resumed["wait"].attempts] == ["canceled", ""]
    assert len({attempt.log for attempt in resumed["wait"].attempts}) == 2


def test_an_image_without_a_component_says_what_there_is(tmp_path):
    (tmp_path / "components").mkdir()
    (tmp_path / "pipelines").mkdir()
    from pipeyard.repository import project

    hosts = runner.project_hosts(project.find(tmp_path))
    with pytest.raises(PipeyardError, match=r"the image 'r\.example/x:1' isn't one of this project's"):
        hosts("r.example/x:1")


def test_artifacts_without_a_checksum_are_never_cached(run):
    read = component("read", {"data": "Dataset"}, {"text": "String"}, "write(OUT['text'], IN['data'])")

    @dsl.pipeline(name="p")
    def pipeline(uri: str):
        read(data=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset).output)

    for uri in ("hdfs://x/one", "hdfs://x/two"):
        result = run(pipeline, uri=uri)
        assert (result.states["read"], result["read"].output_parameters) == (OK, {"text": uri})
        assert result["read"].reason.startswith("not cached")


@pytest.mark.parametrize(("text", "shown"), [("NaN", "'NaN'"), ("Infinity", "'Infinity'"), ("1e999", "'1e999'")])
def test_numbers_that_kfp_can_t_hold_are_refused(run, text, shown):
    odd = component("odd", {}, {"n": "Float"}, f"write(OUT['n'], '{text}')")

    @dsl.pipeline(name="p")
    def pipeline():
        odd()

    assert run(pipeline)["odd"].reason == f"the output 'n' is {shown}, which isn't a number."


def test_text_that_is_not_utf_8_is_refused(run):
    odd = component("odd", {}, {"s": "String"}, "Path(OUT['s']).write_bytes(bytes([255]))")

    @dsl.pipeline(name="p")
    def pipeline():
        odd()

    assert "the output 's' isn't UTF-8 text" in run(pipeline)["odd"].reason


def test_a_pause_before_a_retry_holds_no_slot_and_ends_when_the_run_is_stopped(run, tmp_path):
    fail = component("fail", {}, {"x": "String"}, "sys.exit(1)")

    @dsl.pipeline(name="p")
    def pipeline():
        fail().set_retry(2, backoff_duration="600s")
        show(s="meanwhile")

    def shown() -> bool:
        records = [record.load(path.parent) for path in (tmp_path / "runs").glob(f"[!.]*/{record.FILE}")]
        return any(task.name == "show" and task.state == OK for each in records for task in each.tasks)

    @contextmanager
    def stop_soon(stop: threading.Event):
        def wait():
            while not shown() and time.monotonic() - began < 40:
                time.sleep(0.05)
            stop.set()

        thread = threading.Thread(target=wait)
        thread.start()
        yield
        thread.join()

    began = time.monotonic()
    result = run(pipeline, options=runner.Options(max_parallel=1), interrupts=stop_soon)
    assert time.monotonic() - began < 60
    assert result.states == {"fail": State.CANCELED, "show": OK}


def test_stopping_a_resumed_run_loses_nothing(run, tmp_path):
    gate = component(
        "gate", {"file": "String", "x": "JsonObject"}, {"y": "String"}, "write(OUT['y'], open(IN['file']).read())"
    )

    @dsl.pipeline(name="p")
    def pipeline(file: str):
        gate(file=file, x=show(s="first").outputs["said"])

    @contextmanager
    def stopped(stop: threading.Event):
        stop.set()
        yield

    options = runner.Options(use_cache=False)
    failed = run(pipeline, options=options, file=str(tmp_path / "later"))
    assert failed.states == {"show": OK, "gate": FAILED}
    interrupted = run(
        pipeline, options=options, file=str(tmp_path / "later"), resumed=failed.folder, interrupts=stopped
    )
    assert interrupted.run.state == State.CANCELED
    (tmp_path / "later").write_text("now")
    resumed = run(pipeline, options=options, file=str(tmp_path / "later"), resumed=failed.folder)
    assert resumed.states == {"show": OK, "gate": OK}
    assert len(resumed["show"].attempts) == 1
    assert len(resumed["gate"].attempts) == 2


def test_a_run_that_goes_on_can_t_be_resumed(run):
    @dsl.pipeline(name="p")
    def pipeline():
        show()

    done = run(pipeline)
    with (done.folder / run_lock.FILE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PipeyardError, match=rf"\(process {os.getpid()}\), or a step of it, still runs"):
            run(pipeline, resumed=done.folder)


def test_a_run_s_folder_appears_with_its_record_or_not_at_all(run, tmp_path):
    @dsl.pipeline(name="p")
    def pipeline():
        show()

    def unseen(folder, pass_fds, _say):
        assert not folder.exists()
        assert not list((tmp_path / "runs").glob("[!.]*"))
        return launcher.Processes(folder, pass_fds)

    def broken(*_):
        raise PipeyardError("the engine is gone")

    def taken(folder, pass_fds, _say):
        folder.mkdir()
        (folder / "theirs").touch()
        return launcher.Processes(folder, pass_fds)

    done = run(pipeline, launchers=unseen)
    assert done.run.state == State.SUCCEEDED
    before = sorted((tmp_path / "runs").iterdir())
    with pytest.raises(PipeyardError, match="the engine is gone"):
        run(pipeline, launchers=broken)
    assert sorted((tmp_path / "runs").iterdir()) == before
    with pytest.raises(PipeyardError, match="is in the way: it has no run.json, so it is no run's"):
        run(pipeline, launchers=taken)
    (theirs,) = set((tmp_path / "runs").iterdir()) - set(before)
    assert [path.name for path in theirs.iterdir()] == ["theirs"]


def test_retries_of_a_whole_pipeline_are_refused_not_ignored(run):
    @dsl.pipeline(name="inner")
    def _inner():
        show()

    @dsl.pipeline(name="p")
    def pipeline():
        _inner().set_retry(2)

    with pytest.raises(PipeyardError, match="'inner' is a pipeline with retries"):
        run(pipeline)


def test_settings_that_need_a_cluster_are_refused(run):
    @dsl.pipeline(name="p")
    def pipeline():
        show()

    platform = (
        "---\nplatforms:\n  kubernetes:\n    deploymentSpec:\n      executors:\n"
        "        exec-show:\n          nodeSelector: {}\n          pvcMount: []\n"
    )
    with pytest.raises(PipeyardError, match="show: it needs a cluster for pvcMount"):
        run(pipeline, platform=platform)


_RUN_DEADLINE = "---\nplatforms:\n  kubernetes:\n    pipelineConfig: {{activeDeadlineSeconds: {}}}\n"
_HANGING = "import time; Path(IN['seen']).touch(); time.sleep(60); write(OUT['x'], '')"


def _hang(**texts):
    return component("hang", {"seen": "String"}, {"x": "String"}, _HANGING, **texts)


def test_a_run_s_deadline_stops_what_hangs_and_starts_nothing_more(run, tmp_path):
    @dsl.pipeline(name="p")
    def pipeline(seen: str):
        with dsl.ExitHandler(show(s="last")):
            # A step that the run's deadline ended isn't tried again.
            show(s=_hang()(seen=seen).set_retry(3, backoff_duration="0s").outputs["x"])

    began = time.monotonic()
    result = run(pipeline, _RUN_DEADLINE.format(3), seen=str(tmp_path / "seen"))
    assert time.monotonic() - began < 40
    assert (tmp_path / "seen").exists()
    assert result.run.state == State.FAILED
    told = "the run's deadline of 3 s passed. If it isn't stuck, set a longer `deadline` in settings.yaml"
    assert result.run.error.endswith(f"hang: {told}")
    states = {path.rpartition("/")[2]: state for path, state in result.states.items()}
    assert states == {"hang": FAILED, "show-2": State.CANCELED, "show": State.CANCELED}
    (task,) = (each for each in result.run.tasks if each.name == "hang")
    assert task.reason == told
    assert [attempt.error for attempt in task.attempts] == [told]


def test_a_run_that_its_deadline_ended_is_resumed(run, tmp_path):
    wait = component(
        "wait",
        {"gate": "String"},
        {"x": "String"},
        "import time\nwhile not Path(IN['gate']).exists(): time.sleep(0.05)\nwrite(OUT['x'], '')",
    )

    @dsl.pipeline(name="p")
    def pipeline(gate: str):
        wait(gate=gate)

    ended = run(pipeline, _RUN_DEADLINE.format(2), gate=str(tmp_path / "gate"))
    assert ended.run.state == State.FAILED
    (tmp_path / "gate").touch()
    assert run(pipeline, _RUN_DEADLINE.format(60), gate=str(tmp_path / "gate"), resumed=ended.folder).run.state == OK


def test_a_run_within_its_deadline_succeeds_and_leaves_no_timer(run):
    @dsl.pipeline(name="p")
    def pipeline():
        show(s="a")

    result = run(pipeline, _RUN_DEADLINE.format(2_147_483_647))
    assert (result.run.state, result.run.error) == (OK, "")
    assert not [each for each in threading.enumerate() if isinstance(each, threading.Timer)]


def test_a_step_s_own_limit_counts_where_it_is_shorter_than_the_run_s(run, tmp_path):
    own = "    deploymentSpec: {executors: {exec-hang: {activeDeadlineSeconds: '1'}}}\n"

    @dsl.pipeline(name="p")
    def pipeline(seen: str):
        _hang()(seen=seen)

    result = run(pipeline, _RUN_DEADLINE.format(50) + own, seen=str(tmp_path / "seen"))
    assert result["hang"].reason.startswith("timed out after 1")


def test_the_user_s_limit_of_a_step_counts_though_each_is_within_the_run_s(run, tmp_path):
    derived = "    deploymentSpec: {executors: {exec-hang: {activeDeadlineSeconds: '50'}}}\n"

    @dsl.pipeline(name="p")
    def pipeline(seen: str):
        _hang()(seen=seen)

    options = runner.Options(task_timeout_seconds=1)
    result = run(pipeline, _RUN_DEADLINE.format(50) + derived, options, seen=str(tmp_path / "seen"))
    assert result["hang"].reason.startswith("timed out after 1")
