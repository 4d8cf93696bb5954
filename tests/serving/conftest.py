"""A served folder: the router is Envoy, model servers are stand-ins."""

import os
from collections.abc import Iterator

import pytest
from served_folders import ROOT, ServedFolder

from pipeyard.errors import PipeyardError
from pipeyard.repository import project
from pipeyard.serving import serving_programs
from pipeyard.system import marks
from rollout.policy import DIRECT


@pytest.fixture(scope="session")
def envoy() -> str:
    """Envoy's path. Where it can't be had: skipped on a laptop, failed in CI."""
    try:
        found = serving_programs.envoy(project.find(ROOT), print)
    except PipeyardError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory, envoy) -> Iterator[ServedFolder]:
    """Versions 3, stable, and 4, a candidate that nobody decides, with 10%."""
    made = ServedFolder(tmp_path_factory.mktemp("serving").resolve(), envoy)
    made.push(3)
    made.push(4)
    made.stage(3, DIRECT)
    made.stage(4)
    try:
        made.pipeyard("start")
        made.wait_for_shares(v3=90, v4=10)
        yield made
    finally:
        made.pipeyard("stop", check=False)
        marks.kill({"PIPEYARD_SERVE": str(made.folder.path)})
