"""Two runs at the same moment, of one pipeline and with one step cache: both are right, or one is refused."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import light_projects
from support.forked_pipeyard import ForkedPipeyard

from pipeyard.repository.project import Project
from pipeyard.runs import record
from pipeyard.runs.record import Run, State


@pytest.fixture(name="project", scope="module")
def fixture_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return light_projects.make(tmp_path_factory.mktemp("project"))


@pytest.fixture(name="pipeyards", scope="module")
def fixture_pipeyards() -> Iterator[list[ForkedPipeyard]]:
    with ForkedPipeyard() as one, ForkedPipeyard() as two:
        yield [one, two]


def _run(pipeyard: ForkedPipeyard, project: Project, root: Path, said: str, *more: str, at: int = 0) -> int:
    command = ("run", light_projects.PIPELINE, "--env", "here", "--max-parallel", "2", *more)
    env = {**os.environ, light_projects.ROOT_VARIABLE: str(root)}
    return pipeyard.run(command, env, project.root, root.with_name(said), at)


def _runs(root: Path) -> list[Run]:
    return [record.load(path.parent) for path in root.glob(f"*/{record.FILE}")]


def _digests(run: Run) -> dict[str, str]:
    return {task.path: task.output_artifacts["data"].digest for task in run.tasks}


def test_two_runs_at_once_compute_the_same_and_fill_one_cache(
    project: Project, pipeyards: list[ForkedPipeyard], tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    with ThreadPoolExecutor(2) as pool:
        codes = pool.map(lambda each: _run(each, project, root, str(id(each))), pipeyards)
        assert list(codes) == [0, 0]
    one, two = _runs(root)
    assert _digests(one) == _digests(two)
    assert len(_digests(one)) == 4
    assert _run(pipeyards[0], project, root, "later") == 0
    (later,) = (run for run in _runs(root) if run.id not in (one.id, two.id))
    assert {task.state for task in later.tasks} == {State.CACHED}
    assert not [path for path in root.rglob(".*") if path.name not in (".cache", ".lock")]


def test_of_two_that_go_on_with_one_run_one_does_and_the_other_is_told(
    project: Project, pipeyards: list[ForkedPipeyard], tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    assert _run(pipeyards[0], project, root, "killed", at=60) == -signal.SIGKILL
    (killed,) = _runs(root)
    assert killed.state == State.RUNNING
    said = [root.with_name(name) for name in ("one", "two")]

    def resume(number: int) -> int:
        return _run(pipeyards[number], project, root, said[number].name, "--resume", killed.id)

    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(resume, range(2)))
    assert sorted(codes) == [0, 1]
    refusal = said[codes.index(1)].read_text()
    first_ended = "so there is nothing to resume" in refusal
    assert first_ended or (f"{killed.id} (process " in refusal and "still runs" in refusal)
    (resumed,) = _runs(root)
    assert (resumed.state, len(_digests(resumed))) == (State.SUCCEEDED, 4)
