"""A folder of versions that is served by Envoy and stand-ins for model servers, and load on it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeyard.serving import serving_state
from pipeyard.serving.serving_folder import ServingFolder
from pipeyard.system import marks
from rollout import desired
from rollout.policy import CANARY, Policy

ROOT = Path(__file__).parents[2]
PIPEYARD = Path(sys.executable).with_name("pipeyard")
# Of a rollout that nobody decides.
UNDECIDED = Policy(steps=(10, 20, 50, 100), min_requests=10**9, latency_ratio=None)
_SECONDS = 60


def link_checkout(folder: Path) -> Path:
    """Makes a folder a copy of this repository, as far as serving needs it, in which nothing is pushed; returns it."""
    folder.mkdir()
    for name in ("components", "pipelines", "services", "libs", "build", ".venv", "pyproject.toml", "uv.lock"):
        (folder / name).symlink_to(ROOT / name)
    if (ROOT / ".tools").exists():
        (folder / ".tools").symlink_to(ROOT / ".tools")
    (folder / "settings.yaml").write_text((ROOT / "settings.yaml").read_text())
    return folder


class Load:
    """A process that asks a model until it is ended."""

    def __init__(self, url: str, rate: int) -> None:
        command = [sys.executable, "-m", "support.http_load", url, "--until-closed", "--rate", str(rate)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT / "tests"
        )

    def end(self) -> dict[str, Any]:
        out, _ = self._process.communicate()
        return json.loads(out)


class ServedFolder:
    """A folder of versions of `taxi`, or of other models, and what serves it."""

    SERVER = "support.stand_in_model_server"

    def __init__(self, path: Path, envoy: str, *options: str) -> None:
        self.folder = ServingFolder(path)
        self._envoy = envoy
        self._options = options

    def push(self, version: int, model: str = "taxi", **behaviour: Any) -> None:
        folder = self.folder.path / model / str(version)
        folder.mkdir(parents=True)
        (folder / "behaviour.json").write_text(json.dumps(behaviour))
        (folder / "saved_model.pb").touch()

    def stage(self, version: int, strategy: str = CANARY, policy: Policy = UNDECIDED, *, model: str = "taxi") -> None:
        options = {"strategy": strategy, "policy": policy, "registry_uri": "", "now": time.time()}
        self.change(lambda before: desired.stage(before, version, **options), model)

    def change(self, change: Callable[[Any], desired.Desired], model: str = "taxi") -> desired.Desired:
        return desired.update(self.folder.model(model), change)

    def pipeyard(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(PIPEYARD), "serve", "--folder", str(self.folder.path), *arguments]
        if arguments[0] == "start":
            server = f"{sys.executable} -m {self.SERVER}"
            command += ["--router", self._envoy, "--model-server", server]
            command[5:5] = self._options  # those of the call come later, and count
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PIPEYARD_SERVE_TEST": "1"}
        # What it leaves running must not hold the pipe that its output is read from.
        return subprocess.run(command, check=check, env=env, capture_output=True, text=True, cwd=ROOT, timeout=120)

    @property
    def state(self) -> dict[str, Any]:
        return serving_state.read(self.folder)

    @property
    def url(self) -> str:
        return self.state["url"]

    @property
    def shares(self) -> dict[str, int]:
        """Version to its share, as the router has taken it."""
        model = self.state["models"]["taxi"]
        return {number: each["share"] for number, each in model["versions"].items()} if model["in_force"] else {}

    def wait(self, true: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until, f"{what}\n{json.dumps(self.state, indent=2)}\n{self._log()}"
            time.sleep(0.02)

    def wait_for_shares(self, **shares: int) -> None:
        wanted = {name.removeprefix("v"): share for name, share in shares.items()}
        self.wait(lambda: self.shares == wanted, f"the shares aren't {wanted}")

    def load(self, rate: int = 300, model: str = "taxi") -> Load:
        return Load(f"{self.url}/v1/models/{model}:predict", rate)

    def processes(self) -> list[Any]:
        return marks.find({"PIPEYARD_SERVE": str(self.folder.path)})

    def _log(self) -> str:
        return "".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.folder.logs.glob("*.log")))
