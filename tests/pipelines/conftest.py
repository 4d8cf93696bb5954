"""One copy of the project, with one finished chicago_taxi run in it, for all tests of whole pipelines."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import checkout
from whole_runs import PIPEYARD, SETUP, Ran

from pipeyard.runs import record
from pipeyard.runs.record import Run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, so that tests may change sources; environments are those of the checkout."""
    copy = tmp_path_factory.mktemp("project") / "pipeyard"
    checkout.copy_files(copy)
    checkout.link_environments(copy)
    return copy


@pytest.fixture(scope="session")
def pipeyard_run(project: Path) -> Callable[..., Ran]:
    """Runs `pipeyard run` in the project; keyword arguments are --param's."""

    def go(pipeline: str, *flags: str, **params: object) -> Ran:
        given = [
            f"--param={name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in params.items()
        ]
        done = subprocess.run(
            [str(PIPEYARD), "run", pipeline, f"--project={project}", "--json", "--no-check", *flags, *given],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            env=SETUP,
        )
        assert done.stdout, done.stderr
        run = Run.model_validate_json(done.stdout)
        folder = project / "runs" / run.id
        assert record.load(folder) == run
        return Ran(done.returncode, done.stderr, run, folder)

    return go


@pytest.fixture(scope="session")
def taxi(pipeyard_run: Callable[..., Ran]) -> Ran:
    """The first run of chicago_taxi, from data to a deployed model."""
    ran = pipeyard_run("chicago_taxi")
    assert ran.code == 0, ran.text
    return ran
