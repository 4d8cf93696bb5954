"""`pipeyard run --runner docker`: steps as containers, in a real engine.

Every image here has an ENTRYPOINT that fails, which a step's command takes the place of as on Kubernetes, and a user
that isn't root.
"""

import fcntl
import functools
import io
import signal
import subprocess
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
from kfp import compiler, dsl
from projects import PIPEYARD
from rich.console import Console
from tiny_project import dockerfile

from pipeyard import ir
from pipeyard.local import containers, runner
from pipeyard.local.display import Lines
from pipeyard.local.engine import Engine
from pipeyard.repository.project import Project
from pipeyard.runs import record, run_lock
from pipeyard.runs.record import State

USER = 65532
_SPEC = """\
name: hello
metadata:
  annotations:
    pipeyard.dev/external-state: '["{source}"]'
    pipeyard.dev/external-writes: '["{target}"]'
inputs:
- {name: source, type: String}
- {name: target, type: String}
outputs:
- {name: data, type: Dataset}
implementation:
  container:
    image: tiny/hello:dev
    command: [python, -m, hello]
    args: [{inputValue: source}, {inputValue: target}, {outputPath: data}]
"""
_PROGRAM = """\
import os, sys, time
from pathlib import Path

source, target, data = map(Path, sys.argv[1:])
text = source.read_text()
if text == "wait":
    print("waits", flush=True)
    time.sleep(600)
if text.startswith("see "):
    text = Path(text.removeprefix("see ")).read_text()
(target / "pushed").write_text(text)
data.mkdir()
(data / "part").write_text(f"{text} {os.getuid()}")
"""
_PIPELINE = """\
from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

store = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"])
hello = store.load_component("hello")


@dsl.pipeline(name="greet")
def greet(source: str, target: str, shelf: str = ""):
    hello(source=source, target=target)
"""
_PLACES = {"source": "source.txt", "target": "target/model", "shelf": "shelf"}
_SETTINGS = "environments: {local: {target: local, pipeline_root: '${PROJECT_ROOT}/runs'}}\n"


@pytest.fixture(scope="module")
def image(engine, base_image, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text(f'FROM {base_image}\nENTRYPOINT ["false"]\nUSER {USER}\n')
    engine.docker("build", "--quiet", "--network=host", "--tag", "tests/stern:1", folder)
    return "tests/stern:1"


@pytest.fixture
def run(engine, tmp_path):
    """Runs a @dsl.pipeline in containers; returns the run's record and folder."""

    def go(pipeline, **options):
        package = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(package))
        docker = Engine(engine.client)
        return runner.run(
            ir.load(package),
            {},
            tmp_path / "runs",
            containers.image_hosts(Project(tmp_path), {}, docker, print),
            Lines(Console(file=io.StringIO())),
            runner.Options(**{"max_parallel": 2, **options}),
            launchers=functools.partial(containers.Containers, docker, "none"),
            interrupts=lambda stop: nullcontext(),
        )

    return go


def _containers(engine) -> list[str]:
    found = engine.client.containers.list(all=True, filters={"label": containers.RUN_LABEL}, ignore_removed=True)
    return [container.name for container in found]


def _step(image: str, code: str):
    """Returns a component with an output `text` that runs Python code, in which OUT is the output's path."""

    @dsl.container_component
    def step(text: dsl.OutputPath(str)):
        program = f"import os, sys, time\nfrom pathlib import Path\nOUT = Path(sys.argv[1])\n{code}"
        return dsl.ContainerSpec(image=image, command=["python", "-c", program], args=[text])

    return step


def test_a_container_that_fails_never_passes_for_a_good_one(run, image, engine):
    fail = _step(image, "OUT.write_text('here'); sys.exit(3)")

    @dsl.pipeline(name="p")
    def pipeline():
        with dsl.ParallelFor(list(range(12))):
            fail()

    record_, _ = run(pipeline)
    assert Counter(task.state for task in record_.tasks) == {State.FAILED: 12}
    assert {attempt.exit_code for task in record_.tasks for attempt in task.attempts} == {3}
    assert _containers(engine) == []


def test_a_container_can_write_its_outputs_and_tmp_and_nothing_else(run, image, tmp_path):
    (tmp_path / "private").write_text("the user's")
    code = f"""
        Path('/tmp/scratch').write_text('x')
        for place in ('/etc/x', '/app', {str(tmp_path / "new")!r}, OUT.parent.parent / 'new'):
            try:
                Path(place).write_text('x')
            except OSError as error:
                print(place, error.strerror)
            else:
                sys.exit(f'wrote {{place}}')
        assert not Path({str(tmp_path / "private")!r}).exists()
        capabilities = [line for line in open('/proc/self/status') if line.startswith(('CapPrm', 'NoNewPrivs'))]
        OUT.write_text(' '.join([str(os.getuid()), *(line.split()[1] for line in capabilities)]))
    """
    step = _step(image, "\n".join(line[8:] for line in code.splitlines()))

    @dsl.pipeline(name="p")
    def pipeline():
        step()

    ended, _ = run(pipeline)
    (task,) = ended.tasks
    assert ended.state == State.SUCCEEDED, task.reason
    assert task.output_parameters == {"text": f"{USER} 0000000000000000 1"}
    assert ended.versions["docker"]


def test_outputs_pass_on_read_only_and_come_from_the_cache_the_next_time(run, image):
    @dsl.container_component
    def make(data: dsl.Output[dsl.Dataset]):
        program = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.mkdir(); (p / 'part').write_text('rows')"
        return dsl.ContainerSpec(image=image, command=["python", "-c", program], args=[data.path])

    @dsl.container_component
    def read(data: dsl.Input[dsl.Dataset], text: dsl.OutputPath(str)):
        program = (
            "import sys, pathlib; p = pathlib.Path(sys.argv[1]) / 'part'; pathlib.Path(sys.argv[2]).write_text("
            "p.read_text())\ntry: p.with_name('more').touch()\nexcept OSError as error: print(error.strerror)"
        )
        return dsl.ContainerSpec(image=image, command=["python", "-c", program], args=[data.path, text])

    @dsl.pipeline(name="p")
    def pipeline():
        read(data=make().outputs["data"])

    first, folder = run(pipeline)
    assert [task.state for task in first.tasks] == [State.SUCCEEDED] * 2
    assert first.tasks[1].output_parameters == {"text": "rows"}
    assert (folder / first.tasks[1].attempts[0].log).read_text(encoding="utf-8") == "Read-only file system\n"
    written = Path(first.tasks[0].output_artifacts["data"].uri, "part")
    assert (written.stat().st_uid, written.read_text(encoding="utf-8")) == (USER, "rows")
    again, _ = run(pipeline)
    assert [task.state for task in again.tasks] == [State.CACHED] * 2


def test_a_container_out_of_memory_says_so(run, image):
    eat = _step(image, "x = b'x' * (1 << 30)")

    @dsl.pipeline(name="p")
    def pipeline():
        eat().set_memory_limit("32Mi").set_cpu_limit("100")

    (task,) = run(pipeline)[0].tasks
    assert task.state == State.FAILED
    assert task.reason.startswith("out of memory")


def test_a_program_that_isnt_in_the_image_and_an_image_that_isnt_anywhere_fail_with_their_reason(run, image, registry):
    @dsl.container_component
    def nowhere():
        return dsl.ContainerSpec(image=image, command=["no-such-program"])

    @dsl.container_component
    def nothing():
        return dsl.ContainerSpec(image=f"{registry.host}/none/such:1", command=["true"])

    @dsl.pipeline(name="p")
    def pipeline():
        nowhere()
        nothing()

    reasons = {task.name: task.reason for task in run(pipeline)[0].tasks}
    assert 'exec: "no-such-program"' in reasons["nowhere"]
    assert f"can't pull {registry.host}/none/such:1" in reasons["nothing"]


def test_a_step_past_its_time_is_stopped_by_a_signal_and_removed(run, image, engine):
    step = _step(
        image, "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit('cleaned up'))\ntime.sleep(600)"
    )

    @dsl.pipeline(name="p")
    def pipeline():
        step()

    # Long enough for a busy machine to come to the handler: before that the signal does nothing to a container.
    (task,) = run(pipeline, task_timeout_seconds=8)[0].tasks
    assert task.reason.startswith("timed out after 8 s: cleaned up")
    assert _containers(engine) == []


@pytest.fixture
def project(make_project):
    made = make_project()
    made.commit(
        {
            ".gitignore": "/dist/\n/runs/\n__pycache__/\n",
            "components/hello/component.yaml": _SPEC,
            "components/hello/src/hello/__main__.py": _PROGRAM,
            "components/hello/Dockerfile": dockerfile("hello") + 'ENTRYPOINT ["false"]\n',
            "pipelines/greet/pipeline.py": _PIPELINE,
            "settings.yaml": _SETTINGS,
        }
    )
    built = made.build()
    assert built.code == 0, built.said
    return made


def _pipeyard_run(project, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [str(PIPEYARD), "run", "greet", f"--project={project.folder}", "--runner=docker", *options],
        env=project.variables,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_was_built_runs_by_digest_and_writes_outside_what_it_declares(project, tmp_path):
    # As a registry points to a model: to a place that the component doesn't know of, but the run's parameters do.
    (tmp_path / "source.txt").write_text(f"see {tmp_path}/shelf/book")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "book").write_text("hello")
    options = [f"--param={name}={tmp_path}/{place}" for name, place in _PLACES.items()]
    started = _pipeyard_run(project, *options)
    said = started.communicate(timeout=120)[1]
    assert started.returncode == 0, said
    (folder,) = (project.folder / "runs").glob("greet-*")
    (task,) = record.load(folder).tasks
    assert (task.component, task.state) == ("hello", State.SUCCEEDED)
    assert f"{project.prefix}/hello@{task.source_digest}" == task.image
    assert Path(task.output_artifacts["data"].uri, "part").read_text(encoding="utf-8") == f"hello {USER}"
    assert (tmp_path / "target" / "model" / "pushed").read_text(encoding="utf-8") == "hello"


def test_ctrl_c_removes_the_container_and_a_second_one_does_not_wait_for_it(project, engine, tmp_path):
    (tmp_path / "source.txt").write_text("wait")
    started = _pipeyard_run(project, f"--param=source={tmp_path}/source.txt", f"--param=target={tmp_path}/target")
    _until(lambda: _waits(project))
    for _ in range(2):
        started.send_signal(signal.SIGINT)
    said = started.communicate(timeout=120)[1]
    assert started.returncode == 130, said
    assert _containers(engine) == []


def test_a_killed_run_leaves_no_container_and_can_be_resumed(project, engine, tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("wait")
    options = [f"--param=source={source}", f"--param=target={tmp_path}/target"]
    killed = _pipeyard_run(project, *options)
    _until(lambda: _waits(project))
    killed.kill()
    killed.communicate()
    _until(lambda: not _containers(engine))
    (folder,) = (project.folder / "runs").glob("greet-*")
    _until(lambda: _is_free(folder / run_lock.FILE))
    source.write_text("go on")
    resumed = _pipeyard_run(project, *options, "--resume")
    said = resumed.communicate(timeout=120)[1]
    assert resumed.returncode == 0, said
    assert record.load(folder).state == State.SUCCEEDED


def _waits(project) -> bool:
    return any("waits" in log.read_text() for log in project.folder.glob("runs/greet-*/tasks/*/*.log"))


def _is_free(lock: Path) -> bool:
    with lock.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
