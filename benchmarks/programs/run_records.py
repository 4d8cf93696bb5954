"""CPU time of planning a run of many tasks and of keeping its record, without that of their processes.

    run_records.py make FOLDER             a compiled pipeline: two loops over the same items, and a task that collects
    run_records.py measure FOLDER TASKS    runs it with so many iterations in all; prints JSON

Its launcher starts no process: it writes each task's output itself.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from pipeyard import ir
from pipeyard.local import runner
from pipeyard.local.display import Lines
from pipeyard.local.launcher import Launch
from pipeyard.local.steps import Host
from pipeyard.runs import report, stored_runs
from pipeyard.runs.record import State
from pipeyard.system.process import Ended

_COMPONENT = """\
name: {name}
inputs:
- {{name: given, type: {given}}}
outputs:
- {{name: said, type: String}}
implementation:
  container:
    image: benchmarks/echo
    command: [{name}, {{inputValue: given}}, {{outputPath: said}}]
"""


class _NoProcess:
    """A launcher: a task's output is there at once."""

    versions: Mapping[str, str] = {}

    def run(  # pylint: disable=unused-argument
        self, launch: Launch, canceled: Callable[[], bool], timeout_seconds: float | None, started: Callable[[], object]
    ) -> Ended:
        started()
        (launch.outputs / "said").write_text(launch.task, encoding="utf-8")
        return Ended(0)

    def kill_all(self) -> None:
        pass

    def close(self) -> None:
        pass


def _make(folder: Path) -> None:
    from kfp import compiler, components, dsl

    first, second = (
        components.load_component_from_text(_COMPONENT.format(name=name, given="String"))
        for name in ("first", "second")
    )
    collect = components.load_component_from_text(_COMPONENT.format(name="collect", given="JsonArray"))

    @dsl.pipeline(name="many")
    def many(items: list):
        with dsl.ParallelFor(items) as item:
            said = first(given=item)
        with dsl.ParallelFor(items) as item:
            second(given=item).after(said)
        collect(given=dsl.Collected(said.outputs["said"]))

    compiler.Compiler().compile(many, str(folder / "pipeline.yaml"))


def _measure(folder: Path, tasks: int) -> None:
    """Runs in memory: what a disk's file system takes for a task's folders is told by the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as root:
        print(json.dumps(_measured(folder, tasks, Path(root))))


def _measured(folder: Path, tasks: int, root: Path) -> dict[str, float]:
    pipeline = ir.parse((folder / "pipeline.yaml").read_text(encoding="utf-8"))
    host = Host(component="echo", source_digest="1", env={})
    written, began = _written(), time.process_time()
    run, place = runner.run(
        pipeline,
        {"items": [f"item {number}" for number in range(tasks // 2)]},
        root,
        lambda image: host,
        Lines(Console(quiet=True)),
        runner.Options(max_parallel=2),
        launchers=lambda folder, pass_fds, note: _NoProcess(),
        interrupts=lambda stop: nullcontext(),
    )
    told = {"run_cpu_s": time.process_time() - began, "written_mb": (_written() - written) / 1e6}
    if run.state != State.SUCCEEDED or len(run.tasks) != tasks // 2 * 2 + 1:
        raise SystemExit(f"{len(run.tasks)} tasks {run.state}: {run.error}")
    began = time.process_time()
    stored_runs.load(place).as_dict()
    told["show_cpu_s"] = time.process_time() - began
    began = time.process_time()
    report.render(place)
    told["report_cpu_s"] = time.process_time() - began
    return told


def _written() -> int:
    """Returns how many bytes this process has written so far, see proc(5)."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    return int(fields["wchar"])


if __name__ == "__main__":
    if sys.argv[1] == "make":
        _make(Path(sys.argv[2]))
    else:
        _measure(Path(sys.argv[2]), int(sys.argv[3]))
