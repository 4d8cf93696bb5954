"""What steps do that break a runner: endless lines, children that stay, memory that runs out."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from kfp import compiler, dsl
from support.tiny_components import component

from pipeyard.local import reaper, runner
from pipeyard.runs import record, report
from pipeyard.runs.record import State
from pipeyard.system import marks

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
        killed.send_signal(signal.SIGKILL)
    (folder,) = (each for each in root.iterdir() if (each / record.FILE).exists())
    assert record.load(folder).state == RUNNING
    with (folder / runner.LOCK_FILE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits until nothing of the run holds it
    assert len(pids) == 5
    assert not [pid for pid in pids if _lives(pid)]
    assert not marks.find(reaper.marks_of(folder))
    fifo.unlink()
    subprocess.run([*command, str(folder)], check=True, timeout=120)
    assert record.load(folder).state == State.SUCCEEDED


def _lives(pid: int) -> bool:
    """A zombie doesn't: where no init reaps them, orphans stay as such."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
