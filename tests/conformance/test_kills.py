"""`pipeyard` killed at any moment: what goes on later ends as if nothing had been, and nothing is left behind."""

import contextlib
import json
import multiprocessing
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import light_projects
from support.forked_pipeyard import ForkedPipeyard, count_events

from pipeyard.errors import PipeyardError
from pipeyard.packages import archives, builds, packages
from pipeyard.repository.project import Project
from pipeyard.runs import record
from pipeyard.runs.record import State
from pipeyard.system import marks

# Half of the moments are so many seconds after the start. The other half are before so many-th change of files or start
# of a process: a run is mostly waiting, so that the first kind rarely meets the writing of a record.
MOMENTS = 20
_SEED = 15
_PIPEYARD = Path(sys.executable).with_name("pipeyard")
_RUN = ("run", light_projects.PIPELINE, "--env", "here", "--max-parallel", "2")
_MARK = "PIPEYARD_KILLED"
_LONGEST_SECONDS = 120
Outputs = dict[str, Any]


@dataclass(frozen=True)
class _Place:
    """Where runs of the project are made: below `folder`, which their processes are known by."""

    folder: Path
    project: Project

    @property
    def root(self) -> Path:
        return self.folder / "runs"

    @property
    def scratch(self) -> Path:
        return self.folder / "tmp"

    @property
    def marked(self) -> dict[str, str]:
        return {_MARK: str(self.folder)}

    @property
    def runs(self) -> list[Path]:
        return [path.parent for path in self.root.glob(f"[!.]*/{record.FILE}")]

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def run(self, pipeyard: ForkedPipeyard, *more: str, at: int = 0) -> int:
        return pipeyard.run([*_RUN, *more], self.env, self.project.root, self.folder / "said", at)

    def run_for(self, seconds: float) -> int:
        """Runs, is killed by SIGKILL after a time, and returns the exit code."""
        env = self.env
        with (self.folder / "said").open("a") as said:
            process = subprocess.Popen([_PIPEYARD, *_RUN], env=env, cwd=self.project.root, stdout=said, stderr=said)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        return process.wait()

    @property
    def env(self) -> dict[str, str]:
        self.scratch.mkdir(parents=True, exist_ok=True)
        own = {light_projects.ROOT_VARIABLE: str(self.root), "TMPDIR": str(self.scratch)}
        return {**os.environ, **self.marked, **own}


@pytest.fixture(name="project", scope="module")
def fixture_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return light_projects.make(tmp_path_factory.mktemp("project"))


def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_end(project: Project, tmp_path: Path) -> None:
    undisturbed = _Place(tmp_path / "undisturbed", project)
    began = time.monotonic()
    assert undisturbed.run_for(_LONGEST_SECONDS) == 0, undisturbed.said
    seconds, outputs = time.monotonic() - began, _outputs(undisturbed)
    assert len(outputs) == 4
    chance, idle = random.Random(_SEED), queue.SimpleQueue[ForkedPipeyard]()

    def tried(moment: float, is_event: bool) -> str:
        place, pipeyard = _Place(tmp_path / f"{moment:g}", project), idle.get()
        try:
            faults = list(_faults(place, pipeyard, outputs, moment, is_event))
        finally:
            idle.put(pipeyard)
        return "".join(f"killed at {moment:g}: {fault}\n{place.said}\n" for fault in faults)

    with ForkedPipeyard() as one, ForkedPipeyard() as two, ThreadPoolExecutor(2) as pool:
        counting = _Place(tmp_path / "counting", project)
        assert counting.run(one) == 0, counting.said
        events = int(counting.said.rpartition("events ")[2])
        idle.put(one)
        idle.put(two)
        moments = [(chance.uniform(0, seconds), False) for _ in range(MOMENTS // 2)]
        moments += [(chance.randrange(1, events), True) for _ in range(MOMENTS // 2)]
        faults = "".join(pool.map(lambda moment: tried(*moment), moments))
    assert not faults, faults


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_compilation_that_is_ended_leaves_no_process_and_no_package(tmp_path: Path, how: signal.Signals) -> None:
    fifo, there = tmp_path / "fifo", light_projects.make(tmp_path / "project")
    place = _Place(tmp_path / "place", there)
    os.mkfifo(fifo)
    module = there.root / "pipelines" / light_projects.PIPELINE / "pipeline.py"
    waits = f"open({str(fifo)!r}, 'w').close()\nimport time\ntime.sleep(600)\n"
    module.write_text(module.read_text() + waits)
    command = [_PIPEYARD, "compile", "--dev", light_projects.PIPELINE]
    with subprocess.Popen(command, env=place.env, cwd=there.root) as compiling:
        fifo.read_text()  # waits until it compiles
        compiling.send_signal(how)
    assert compiling.returncode == (128 + how if how == signal.SIGTERM else -how)
    assert not _left(place)
    assert not list(place.scratch.iterdir())
    assert not list((there.root / "dist").iterdir())


def test_a_package_whose_writing_is_broken_off_is_the_earlier_or_the_later_one_or_refused(tmp_path: Path) -> None:
    project = light_projects.make(tmp_path / "project")
    build, dist, kept = builds.committed(project), tmp_path / light_projects.PIPELINE, tmp_path / "kept"
    module = project.root / "pipelines" / light_projects.PIPELINE / "pipeline.py"
    first, _ = builds.package(project, light_projects.PIPELINE, build)
    # Vertex AI takes no package with settings of Kubernetes.
    config = 'pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi"))'
    module.write_text(module.read_text().replace('name="light"', f'name="light", {config}'))
    second, _ = builds.package(project, light_projects.PIPELINE, build)
    builds.write(second, dist)
    later = packages.package_files(dist, build)
    builds.write(first, kept)
    earlier = packages.package_files(kept, build)
    assert set(earlier) - set(later) == {archives.VERTEX}
    seen, at, code = set(), 0, 1
    while code:  # until there are no more events
        at += 1
        for how in (signal.SIGKILL, signal.SIGTERM):
            shutil.rmtree(dist)
            shutil.copytree(kept, dist)
            writing = multiprocessing.get_context("fork").Process(target=_write_until, args=(second, dist, at, how))
            writing.start()
            writing.join()
            code = writing.exitcode
            assert code in (0, -signal.SIGKILL if how == signal.SIGKILL else 128 + signal.SIGTERM)
            try:
                found = packages.package_files(dist, build)
            except PipeyardError as error:
                assert "Run `pipeyard compile light` again" in str(error)
                seen.add("refused")
            else:
                assert found in (earlier, later), f"{how} before event {at}: {found.keys()}"
                seen.add("later" if found == later else "earlier")
            assert how == signal.SIGKILL or not list(dist.glob(".*"))
            builds.write(second, dist)
            assert {path.name for path in dist.iterdir()} == set(later)
    assert seen == {"earlier", "later", "refused"}


def _write_until(made: builds.PackageFiles, dist: Path, at: int, how: signal.Signals) -> None:
    """Writes a package in a process that ends as `pipeyard` does."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    count_events(at, how)
    builds.write(made, dist)


def _faults(place: _Place, pipeyard: ForkedPipeyard, outputs: Outputs, moment: float, is_event: bool) -> Iterator[str]:
    """Kills a run at a moment, lets it go on, and yields what is wrong then."""
    if is_event:
        code = place.run(pipeyard, at=int(moment))
        if code != -signal.SIGKILL:
            yield f"it ended by itself with exit code {code}"
    else:
        place.run_for(moment)
    if left := _left(place):
        yield f"it left the processes {left}"
    _read_all(place)
    ended = any(record.load(folder).state == State.SUCCEEDED for folder in place.runs)
    if not ended or not (place.runs[0] / "report.html").exists():
        code = place.run(pipeyard, *(["--resume"] if place.runs else []))
        if code != ended:  # there is nothing to resume, but the report that was missing is there
            yield f"going on ended with exit code {code}"
            return
    if (now := _outputs(place)) != outputs:
        yield f"its outputs are {now}, undisturbed {outputs}"
    if left := _left(place):
        yield f"going on left the processes {left}"
    hidden = [path for path in place.root.rglob(".*") if path.name not in (".cache", ".lock")]
    # Before an event, the process is killed that compiles, which has kfp write to a scratch folder.
    scratch = [path for path in place.scratch.iterdir() if not is_event or not path.name.startswith("pipeyard-")]
    if files := [*hidden, *scratch]:
        yield f"it left the files {files}"


def _outputs(place: _Place) -> Outputs:
    """Returns what the one run computed: task to parameters and digests; all that it wrote is whole."""
    (folder,) = place.runs
    run = record.load(folder)
    assert run.state == State.SUCCEEDED
    _read_all(place)
    assert yaml.safe_load((folder / "pipeline.yaml").read_text())["pipelineInfo"]["name"] == light_projects.PIPELINE
    assert (folder / "report.html").read_text().rstrip().endswith("</html>")
    return {
        task.path: (task.output_parameters, {name: each.digest for name, each in task.output_artifacts.items()})
        for task in run.tasks
    }


def _read_all(place: _Place) -> None:
    for path in place.root.rglob("*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_bytes())


def _left(place: _Place) -> list[Any]:
    """Returns the processes that are left, after the time that a killed run's reaper may take."""
    until = time.monotonic() + 20
    while (left := marks.find(place.marked)) and time.monotonic() < until:
        time.sleep(0.02)
    return left
