"""How a folder's serving was started: written by `pipeyard serve start`, read by each supervisor, the next one too."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeyard.serving.router_access import RouterAccess
from pipeyard.serving.sampling import LiveSampling
from pipeyard.system import files, jsons


@dataclass(frozen=True)
class StartOptions:
    """How it was started.

    Attributes:
        port: clients'.
        operators_port: of the operators' page.
        router: Envoy's program.
        models: that are served; empty: all that are pushed.
        server: command of the model server, but for its arguments.
        server_options: arguments of each model server, beside those that say what it serves.
        server_env: its environment variables, over those of the supervisor.
        promotion: command that moves aliases of the model registry; empty: none are moved.
        promotion_env: as `server_env`.
        log_days: so long logs are kept.
        sampling: of requests and answers.
        access: who may ask the router.
    """

    port: int
    operators_port: int
    router: str
    server: tuple[str, ...]
    models: tuple[str, ...] = ()
    server_options: tuple[str, ...] = ()
    server_env: Mapping[str, str] = field(default_factory=dict)
    promotion: tuple[str, ...] = ()
    promotion_env: Mapping[str, str] = field(default_factory=dict)
    log_days: float = 7.0
    sampling: LiveSampling = field(default_factory=LiveSampling)
    access: RouterAccess = field(default_factory=RouterAccess)

    @property
    def url(self) -> str:
        """Where clients ask."""
        return self.access.url(self.port)

    @property
    def operators_url(self) -> str:
        """Where the operators' page is."""
        return f"http://127.0.0.1:{self.operators_port}"

    def write(self, path: Path) -> None:
        """Writes it.

        Raises:
            OSError: it can't be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, json.dumps(dataclasses.asdict(self), indent=2))


def read(path: Path) -> StartOptions:
    """Returns what `write` wrote.

    Raises:
        OSError: it isn't there.
        ValueError: it was written by another version of Pipeyard.
    """
    content: dict[str, Any] = jsons.read(path)
    known = {each.name for each in dataclasses.fields(StartOptions)}
    if set(content) - known:
        raise ValueError(f"{path} is of another version of Pipeyard")
    lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
    sampled = {**content.get("sampling", {})}
    if "without" in sampled:
        sampled["without"] = tuple(sampled["without"])
    nested = {"sampling": LiveSampling(**sampled), "access": RouterAccess(**content.get("access", {}))}
    return StartOptions(**{**content, **lists, **nested})
