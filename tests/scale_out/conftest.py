"""One run of chicago_taxi on Flink, and its steps run again here and on Spark."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import job_server
import pytest
import yaml
from steps import ROOT, Step

from pipeyard.repository import project, venvs
from pipeyard.runs.record import Run

# extract writes files of so many rows, so that workers have several to share.
ROWS_PER_SHARD = 2500
PIPEYARD = Path(sys.executable).with_name("pipeyard")
STEPS = ["data_validation", "transform", "evaluate"]


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[job_server.JobServer]:
    """A Flink cluster on this machine."""
    yield from _started(job_server.FLINK, tmp_path_factory)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[job_server.JobServer]:
    """Spark on this machine."""
    yield from _started(job_server.SPARK, tmp_path_factory)


def _started(engine: job_server.Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[job_server.JobServer]:
    """Without Java or the jars: skipped on a laptop, failed in CI, which installs them."""
    try:
        with job_server.running(engine, tmp_path_factory.mktemp(engine.name)) as server:
            yield server
    except job_server.NotInstalledError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def run_on_flink(flink: job_server.JobServer, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The whole of chicago_taxi, in an environment of settings.yaml whose `beam_args` name Flink."""
    root = tmp_path_factory.mktemp("project")
    for name in ("components", "libs", "build"):
        (root / name).symlink_to(ROOT / name)
    folder = root / "pipelines" / "chicago_taxi"
    folder.mkdir(parents=True)
    for name in ("module.py", "schema.pbtxt", "data"):
        (folder / name).symlink_to(ROOT / "pipelines" / "chicago_taxi" / name)
    pipeline = (ROOT / "pipelines" / "chicago_taxi" / "pipeline.py").read_text(encoding="utf-8")
    sharded = pipeline.replace("extract(source=source", f"extract(rows_per_shard={ROWS_PER_SHARD}, source=source")
    assert sharded != pipeline
    (folder / "pipeline.py").write_text(sharded, encoding="utf-8")
    place = yaml.safe_load((ROOT / "settings.yaml").read_text(encoding="utf-8"))["environments"]["local"]
    place["parameters"]["beam_args"] = flink.beam_args
    place["pipelines"] = {"chicago_taxi": place["pipelines"]["chicago_taxi"]}
    (root / "settings.yaml").write_text(yaml.safe_dump({"environments": {"flink": place}}), encoding="utf-8")
    done = subprocess.run(
        [str(PIPEYARD), "run", "chicago_taxi", "--env=flink", f"--project={root}", "--no-check", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "UV": venvs.uv(project.find(ROOT)), "UV_PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    return Run.model_validate_json(done.stdout)


@pytest.fixture(scope="session")
def on_flink(run_on_flink: Run) -> dict[str, Step]:
    """The steps of the run that used Flink, by component."""
    return {task.component: Step.of(task) for task in run_on_flink.tasks if task.component in STEPS}


@pytest.fixture(scope="session")
def again(on_flink: dict[str, Step], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, list[str]], Step]:
    """Runs one of these steps again with other `beam_args`, once for each."""
    done: dict[tuple[str, ...], Step] = {}

    def run(component: str, beam_args: list[str]) -> Step:
        key = (component, *beam_args)
        if key not in done:
            # The run that was on Flink has made its model the champion since.
            changed = {"registry_uri": ""} if component == "evaluate" else {}
            done[key] = on_flink[component].again(tmp_path_factory.mktemp(component), beam_args=beam_args, **changed)
        return done[key]

    return run


@pytest.fixture(scope="session")
def here(again: Callable[[str, list[str]], Step]) -> Callable[[str], Step]:
    """Runs a step as it is by default: without Beam, or with Beam in its process."""
    return lambda component: again(component, [])
