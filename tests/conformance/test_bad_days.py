"""What steps do that break a runner: endless lines, children that stay, memory that runs out."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from kfp import compiler, dsl
from support.tiny_components import component

from pipeyard.local import reaper
from pipeyard.local.launcher import Processes
from pipeyard.runs import record, report, run_lock, stored_runs
from pipeyard.runs.record import State
from pipeyard.system import control_groups, marks

FAILED, RUNNING = State.FAILED, State.RUNNING

# Children in the step's group and out of it, with its descriptors and without, and one whose parent is gone.
_FORKS = """
import os, subprocess, sys
sleep = [sys.executable, "-c", "import os, time; os.write(1, b'.'); time.sleep(600)"]
def child(**options):
    started = subprocess.Popen(sleep, stdout=subprocess.PIPE, **options)
    started.stdout.read(1)  # it runs
    return started.pid
pids = [os.getpid(), child(), child(start_new_session=True), child(start_new_session=True, close_fds=False)]
orphan = "import os, subprocess, sys; print(subprocess.Popen(%r, stdout=2, start_new_session=True).pid)" % (sleep,)
pids.append(int(subprocess.run([sys.executable, "-c", orphan], stdout=subprocess.PIPE, check=True).stdout))
"""
_RUNNER = """
import os, sys
from pathlib import Path
from rich.console import Console
from pipeyard import ir
from pipeyard.local import runner
from pipeyard.local.display import Lines
from pipeyard.local.steps import Host
env = {**os.environ, "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}
host = Host(component="tests", source_digest="1", env=env)
text, root, resumed = Path(sys.argv[1]).read_text(), Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None
runner.run(ir.parse(text), {}, root, lambda image: host, Lines(Console(quiet=True)), resumed=resumed)
"""


def test_what_a_failing_step_prints_without_a_line_break_is_bounded_in_record_and_report(run):
    chatty = component(
        "chatty", {}, {}, "sys.stdout.write('first\\n' + 'z' * 20_000_000 + '\\x1b[2Jdone'); sys.exit(3)"
    )

    @dsl.pipeline(name="p")
    def pipeline():
        chatty()

    result = run(pipeline)
    assert (result["chatty"].state, len(result.log("chatty"))) == (FAILED, 20_000_014)
    assert result["chatty"].reason.endswith("zzzdone")
    assert (result.folder / record.FILE).stat().st_size < 20_000
    assert report.render(result.folder).stat().st_size < 300_000


def test_no_child_of_a_step_outlives_it(run):
    forker = component("forker", {}, {"pids": "JsonArray"}, _FORKS + "write(OUT['pids'], pids)")

    @dsl.pipeline(name="p")
    def pipeline():
        forker()

    pids = run(pipeline)["forker"].output_parameters["pids"]
    assert len(pids) == 5
    assert not [pid for pid in pids if _lives(pid)]


def test_no_process_of_a_run_outlives_its_killed_runner_and_the_run_is_resumed(tmp_path: Path):
    fifo, package, root = tmp_path / "fifo", tmp_path / "p.yaml", tmp_path / "runs"
    os.mkfifo(fifo)
    told = f"with open({str(fifo)!r}, 'w') as told: json.dump(pids, told)\n"
    waits = f"if Path({str(fifo)!r}).is_fifo():\n    {told}    import time; time.sleep(600)\n"
    forker = component("forker", {}, {"said": "String"}, _FORKS + waits + "write(OUT['said'], 'done')")

    @dsl.pipeline(name="p")
    def pipeline():
        forker()

    compiler.Compiler().compile(pipeline, str(package))
    command = [sys.executable, "-c", _RUNNER, str(package), str(root)]
    with subprocess.Popen(command, start_new_session=True) as killed:
        pids = json.loads(fifo.read_text())  # waits until they are told
        assert all(map(_lives, pids))
        (folder,) = (each for each in root.iterdir() if (each / record.FILE).exists())
        assert _summary(folder) | {"state": "RUNNING", "pid": killed.pid} == _summary(folder)
        killed.send_signal(signal.SIGKILL)
    assert record.load(folder).state == RUNNING
    with (folder / run_lock.FILE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits until nothing of the run holds it
    assert len(pids) == 5
    assert not [pid for pid in pids if _lives(pid)]
    assert not marks.find(reaper.marks_of(folder))
    told = {"state": "INTERRUPTED", "outcome": "Interrupted", "pid": killed.pid, "tasks": {"INTERRUPTED": 1}}
    go_on = f"Its runner, process {killed.pid}, is gone. Go on with it: pipeyard run p --resume {folder.name}"
    assert _summary(folder) | told | {"reason": f"0 of 1 step ended. {go_on}"} == _summary(folder)
    fifo.unlink()
    subprocess.run([*command, str(folder)], check=True, timeout=120)
    assert record.load(folder).state == State.SUCCEEDED


def test_a_step_s_peak_memory_is_in_the_record_and_the_report(run):
    large = component("large", {}, {}, "import time; held = b'x' * 700_000_000; time.sleep(1.5)")
    small = component("small", {}, {}, "import time; held = b'x' * 30_000_000; time.sleep(0.5)")

    @dsl.pipeline(name="p")
    def pipeline():
        small()
        large()

    result = run(pipeline)
    assert 700_000_000 < result["large"].attempts[-1].peak_memory_bytes < 900_000_000
    assert 30_000_000 < result["small"].attempts[-1].peak_memory_bytes < 100_000_000
    recorded = {task.path: task.peak_memory_bytes for task in record.load(result.folder).tasks}
    assert recorded == {task.path: task.peak_memory_bytes for task in result.run.tasks}
    page = report.render(result.folder).read_text()
    assert re.search(r"<dt>Peak memory</dt><dd>7\d\d MB</dd>", page)


@pytest.mark.parametrize("code", ["os.kill(os.getpid(), 9)", "sys.exit(os.system('kill -9 $$') and 137)"])
def test_a_step_that_sigkill_ended_names_memory_as_the_likely_cause(run, code):
    victim = component("victim", {}, {}, f"import os; print('at work', flush=True); {code}")

    @dsl.pipeline(name="p")
    def pipeline():
        victim()

    reason = run(pipeline)["victim"].reason
    assert reason.startswith("killed by SIGKILL, most likely because memory ran out (it held ")
    assert reason.endswith(" MB); give it more memory or less data: at work")


@pytest.mark.parametrize(
    ("fill", "options", "lacking"),
    [
        ("with open(OUT['data'], 'wb') as f:\n    while True: f.write(bytes(4096)); f.flush()", "size=3m", "room"),
        (
            "os.mkdir(OUT['data'])\nfor n in range(10**6): open(OUT['data'] + f'/{n}', 'w').close()",
            "nr_inodes=60",
            "inodes",
        ),
    ],
    ids=["no room", "no inodes"],
)
def test_a_run_whose_disk_is_full_ends_failed_and_is_resumed(run, tmp_path: Path, fill, options, lacking):
    root = tmp_path / "runs"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", root], check=False).returncode:
        pytest.skip("mounting needs root; the same is tested with an error in the disk's place")
    folders = "import os\nos.makedirs(os.path.dirname(OUT['data']), exist_ok=True)\n"
    code = (
        f"{folders}if Path({str(tmp_path / 'full')!r}).exists():\n"
        + textwrap.indent(fill, "    ")
        + "\nelse: write(OUT['data'], 'little')"
    )
    filler = component("filler", {}, {"data": "Dataset"}, code)

    @dsl.pipeline(name="p")
    def pipeline():
        filler()

    (tmp_path / "full").touch()
    try:
        result = run(pipeline)
        assert (result.run.state, result["filler"].state) == (FAILED, FAILED)
        assert f"(the disk of {result.folder} has no {lacking} left: make room there)" in result["filler"].reason
        folder = result.folder
        assert record.load(folder) == result.run
        (tmp_path / "full").unlink()
        room = "remount,size=30m,nr_inodes=1000"
        subprocess.run(["mount", "-o", room, root], check=True)
        assert run(pipeline, resumed=folder).run.state == State.SUCCEEDED
        assert not (folder / record.RESERVE).exists()
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


def _summary(folder: Path) -> dict[str, object]:
    return stored_runs.load(folder).as_dict()


_HOLDS = """
import subprocess, sys, time
held = b'x' * {own}
child = subprocess.Popen([sys.executable, '-c', "held = b'x' * {child}; print(1, flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
time.sleep({seconds})
child.communicate(b'')
"""


def _watched(folder: Path, pass_fds: Sequence[int], say: object) -> Processes:
    return Processes(folder, pass_fds, groups=lambda name, limit: None)


def _grouped(folder: Path, pass_fds: Sequence[int], say: object) -> Processes:
    def group(name: str, limit: int) -> control_groups.MemoryGroup:
        made = control_groups.make(name, limit)
        assert made
        return made

    return Processes(folder, pass_fds, groups=group)


@pytest.mark.parametrize("launcher", [_watched, _grouped])
@pytest.mark.parametrize(("own", "child"), [(300_000_000, 1), (70_000_000, 70_000_000)], ids=["itself", "its child"])
def test_a_step_that_takes_more_than_its_memory_limit_is_told_so(run, launcher, own, child):
    if launcher is _grouped:
        probe = control_groups.make("pipeyard-test", 1 << 30)
        if not probe:
            pytest.skip("no control group can be made here; the watch is tried, and groups by files as the kernel's")
        probe.remove()
    greedy = component("greedy", {}, {}, _HOLDS.format(own=own, child=child, seconds=60))
    modest = component("modest", {}, {}, _HOLDS.format(own=20_000_000, child=20_000_000, seconds=0.3))

    @dsl.pipeline(name="p")
    def pipeline():
        modest().set_memory_limit("100M")
        greedy().set_memory_limit("100M")

    result = run(pipeline, launchers=launcher)
    assert result["modest"].state == State.SUCCEEDED
    attempt = result["greedy"].attempts[-1]
    held = r", when it held \d\d\d MB" + ("" if launcher is _watched else "|")
    told = rf"out of memory: 'greedy' took more than its limit of 100M and was killed({held})\. Raise the limit "
    assert re.match(rf"{told}in pipeline\.py by set_memory_limit, or give it less data: ", attempt.error)
    assert (result["greedy"].state, attempt.exit_code) == (FAILED, -signal.SIGKILL)
    (recorded,) = (task for task in record.load(result.folder).tasks if task.path == "greedy")
    assert recorded.attempts[-1].error == attempt.error
    assert not marks.find(reaper.marks_of(result.folder))
    assert not control_groups.find(reaper.groups_of(result.folder))


def _lives(pid: int) -> bool:
    """A zombie doesn't: where no init reaps them, orphans stay as such."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
