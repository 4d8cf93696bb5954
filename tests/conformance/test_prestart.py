"""Interpreters that start ahead of their steps: when they do and don't, and that results don't show it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from kfp import components, dsl
from support.tiny_components import Result

from pipeyard.local import runner
from pipeyard.local.prestart import _PROGRAM as WAITING
from pipeyard.local.prestart import Prestart
from pipeyard.runs.record import State

# What a step imports, and the step. Each tells in a file of its own what happened, so that lines can't mix.
HEAVY = """
import os, time
from pathlib import Path
def tell(what):
    file = Path(os.environ["EVENTS"]) / f".{what}-{os.getpid()}"
    file.write_text(str(time.monotonic_ns()))
    file.rename(file.with_name(file.name[1:]))
print("imported", flush=True)
tell("import")
"""
MAIN = """
import os, sys
import tool.heavy
from tool.steps import STEPS
name, out = sys.argv[1:3]
tool.heavy.tell(f"main-{name}")
STEPS[name]()
os.makedirs(os.path.dirname(out), exist_ok=True)
with open(out, "w") as file:
    file.write("no")
"""
STEPS = """
import ctypes, gc, os, signal, sys, time
from pathlib import Path
EVENTS = Path(os.environ["EVENTS"])
def others():
    return [int(path.name.split("-")[1]) for path in EVENTS.glob("import-*") if str(os.getpid()) not in path.name]
def meet():
    until = time.monotonic() + 30
    while not others():
        assert time.monotonic() < until, "no other interpreter has started"
        time.sleep(0.02)
def meet_and_kill():
    meet()
    os.kill(max(others()), signal.SIGKILL)
    time.sleep(0.2)
def talk():
    main = sys.modules["__main__"]
    print(sys.argv[1], __name__, main.__spec__.name, os.path.basename(sys.argv[0]), sys.path[0] == os.getcwd())
    print(sorted(name for name in vars(main) if name != "__annotations__"), gc.isenabled())
    print("of Python", file=sys.stderr)
    sys.stdout.flush()
    os.system("echo of a child")
    ctypes.CDLL(None).puts(b"of C")
    ctypes.CDLL(None).fflush(None)
    print("input", sys.stdin.read(), os.getpgid(0) == os.getpid(), signal.getsignal(signal.SIGTERM), flush=True)
def fail():
    talk()
    raise ValueError("on purpose")
def leave():
    talk()
    sys.exit(7)
def die():
    talk()
    os.kill(os.getpid(), signal.SIGTERM)
STEPS = {"meet": meet, "kill": meet_and_kill, "pass": dict, "talk": talk, "fail": fail, "leave": leave, "die": die}
"""


@pytest.fixture(name="events")
def fixture_events(tmp_path: Path) -> Path:
    folder = tmp_path / "events"
    folder.mkdir()
    return folder


@pytest.fixture(name="hosts")
def fixture_hosts(tmp_path: Path, events: Path) -> Callable[..., dict]:
    """Returns hosts of the package `tool`, given what is preloaded."""
    package = tmp_path / "src" / "tool"
    package.mkdir(parents=True)
    for name, text in {"__init__": "", "heavy": HEAVY, "__main__": MAIN, "steps": STEPS}.items():
        (package / f"{name}.py").write_text(text)
    (package / "broken.py").write_text("print('noise', flush=True)\nraise RuntimeError('broken')\n")
    env = {
        **os.environ,
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "PYTHONPATH": str(package.parent),
        "PYTHONUNBUFFERED": "1",
        "EVENTS": str(events),
    }
    return lambda *preload: {"tests/tool": {"env": env, "preload": preload}}


def tool(name: str, after: object = None, image: str = "tests/tool"):
    """Returns a task that runs `python -m tool NAME`."""
    given = "inputs: [{name: after, type: String, optional: true}]"
    text = f"""
name: {name}
{given}
outputs: [{{name: out, type: String}}]
implementation:
  container:
    image: {image}
    command: [python, -m, tool]
    args: [{name}, {{outputPath: out}}]
"""
    return components.load_component_from_text(text)(**({"after": after} if after is not None else {}))


@dsl.pipeline(name="chain")
def chain():
    one = tool("meet")
    two = tool("pass", one.outputs["out"])
    tool("talk", two.outputs["out"])


def told(events: Path, kind: str) -> dict[int, int]:
    """Returns the processes that told of `kind`, in order, and when each did."""
    found = {int(path.name.rpartition("-")[2]): int(path.read_text()) for path in events.glob(f"{kind}-*")}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def pids(events: Path, kind: str) -> list[int]:
    return list(told(events, kind))


def nothing_waits(result: Result, events: Path) -> bool:
    alive = [pid for pid in pids(events, "import") if psutil.pid_exists(pid)]
    return not alive and not list(result.folder.glob(".waiting*"))


def test_each_next_interpreter_starts_while_a_step_runs_and_runs_its_step(run, hosts, events) -> None:
    result = run(chain, outside=hosts("tool.heavy"))
    assert result.run.state == State.SUCCEEDED, result.run.error
    imports, mains = told(events, "import"), told(events, "main")
    assert imports.keys() == mains.keys()
    first, second, third = mains
    # The first step could only end because the second's interpreter had imported by then.
    assert imports[second] < mains[second]
    assert imports[third] > imports[first]
    assert imports[third] > mains[first]  # at most one waits
    assert nothing_waits(result, events)


def test_no_garbage_is_looked_for_in_what_was_imported_ahead(tmp_path: Path) -> None:
    (tmp_path / "ahead.py").write_text("cycles = [[] for _ in range(10)]\n", encoding="utf-8")
    said = "import ahead, gc; print(gc.isenabled(), any(each is ahead.cycles for each in gc.get_objects()))"
    (tmp_path / "main.py").write_text(said, encoding="utf-8")
    command = [sys.executable, str(WAITING), "ahead"]
    done = subprocess.run(
        command, cwd=tmp_path, input='["main"]', capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "True False\n"


def test_without_it_every_interpreter_starts_with_its_step(run, hosts, events) -> None:
    @dsl.pipeline(name="plain")
    def plain():
        tool("talk", tool("pass").outputs["out"])

    result = run(plain, outside=hosts("tool.heavy"), options=runner.Options(prestart=False))
    assert result.run.state == State.SUCCEEDED
    both = sorted(events.iterdir(), key=lambda path: int(path.read_text()))
    assert [path.name.split("-")[0] for path in both] == ["import", "main", "import", "main"]


@pytest.mark.parametrize("how", ["talk", "fail", "leave", "die"])
@pytest.mark.parametrize("preload", ["tool.heavy", "tool.broken", "tool.heavy:absent"])
def test_a_step_prints_and_ends_as_if_it_had_not_started_ahead(run, hosts, how: str, preload: str) -> None:
    @dsl.pipeline(name="twice")
    def twice():
        tool(how, tool("pass").outputs["out"])

    seen = []
    for prestart in (True, False):
        options = runner.Options(use_cache=False, prestart=prestart)
        result = run(twice, outside=hosts(preload), options=options)
        task = result[how]
        seen.append((task.state, task.attempts[0].exit_code, task.attempts[0].error, result.log(how)))
    assert seen[0] == seen[1]
    assert "of C" in seen[0][3]


def test_an_interpreter_that_died_while_it_waited_is_replaced(run, hosts, events) -> None:
    @dsl.pipeline(name="killing")
    def killing():
        tool("talk", tool("kill").outputs["out"])

    result = run(killing, outside=hosts("tool.heavy"))
    assert result.run.state == State.SUCCEEDED, result.run.error
    assert len(pids(events, "import")) == 3
    assert len(result["talk"].attempts) == 1


def test_one_that_waits_for_a_task_that_is_skipped_is_ended(run, hosts, events) -> None:
    @dsl.pipeline(name="skipping")
    def skipping():
        first = tool("meet")
        with dsl.If(first.outputs["out"] == "yes"):
            tool("talk")

    result = run(skipping, outside=hosts("tool.heavy"))
    assert result.states["condition-1/talk"] == State.SKIPPED
    assert len(pids(events, "import")) == 2
    assert nothing_waits(result, events)


def test_none_starts_for_steps_that_come_from_the_cache(run, hosts, events) -> None:
    run(chain, outside=hosts("tool.heavy"))
    count = len(list(events.iterdir()))
    result = run(chain, outside=hosts("tool.heavy"))
    assert set(result.states.values()) == {State.CACHED}
    assert len(list(events.iterdir())) == count


def waiting_pid(events: Path) -> int:
    until = time.monotonic() + 30
    while not pids(events, "import"):
        assert time.monotonic() < until, "no interpreter has started"
        time.sleep(0.02)
    return pids(events, "import")[-1]


def test_it_ends_when_the_runner_is_killed(hosts, events, tmp_path: Path) -> None:
    env = hosts()["tests/tool"]["env"]
    program = f"""
import json, os, sys, time
from pathlib import Path
from pipeyard.local.prestart import Prestart
Prestart(Path({str(tmp_path)!r})).begin("a", [sys.executable, "-m", "tool"], json.loads(sys.argv[1]), ["tool.heavy"])
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program, json.dumps(env)], start_new_session=True) as killed:
        waits = psutil.Process(waiting_pid(events))
        killed.send_signal(signal.SIGKILL)
    waits.wait(20)
    assert not waits.is_running()


def test_none_starts_where_memory_is_scarce(hosts, events, tmp_path: Path) -> None:
    host = hosts()["tests/tool"]
    command = [sys.executable, "-m", "tool", "pass", str(tmp_path / "out")]
    prestart = Prestart(tmp_path, available=lambda: 1 << 30)
    prestart.begin("a", command, host["env"], ["tool.heavy"])
    assert prestart.take("a", command, host["env"], tmp_path / "log") is None
    assert not list(events.iterdir())


@pytest.mark.parametrize(
    ("arguments", "taken"), [(["pass"], True), (["x" * (1 << 20)], False)], ids=["few", "more than a pipe holds"]
)
def test_arguments_that_no_pipe_holds_are_left_to_a_fresh_start(
    hosts, events, tmp_path: Path, arguments, taken
) -> None:
    host = hosts()["tests/tool"]
    command = [sys.executable, "-m", "tool", *arguments, str(tmp_path / "outputs" / "out")]
    prestart = Prestart(tmp_path)
    prestart.begin("a", command, host["env"], ["tool.heavy"])
    pid = waiting_pid(events)
    started = prestart.take("a", command, host["env"], tmp_path / "log")
    assert bool(started) == taken
    if started:
        assert started.wait(20) == 0
    assert not psutil.pid_exists(pid)
