"""Finds a run and what its steps read and wrote. The notebooks use this; it needs the standard library only."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS = Path(__file__).resolve().parents[1] / "runs"
_HAS_OUTPUTS = ("SUCCEEDED", "CACHED")


@dataclass(frozen=True)
class Run:
    """A run's folder and its `run.json`."""

    folder: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        return self.record["id"]

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return self.record["tasks"]

    def has(self, component: str) -> bool:
        """True if a step of the component has outputs."""
        return any(_finished(task, component) for task in self.tasks)

    def step(self, component: str) -> dict[str, Any]:
        """Returns the first finished task of a component.

        Raises:
            LookupError: there is none.
        """
        for task in self.tasks:
            if _finished(task, component):
                return task
        states = [task["state"] for task in self.tasks if task["component"] == component]
        raise LookupError(
            f"Run {self.name} has no outputs of {component} ({', '.join(states) or 'no such step'}). "
            "Its report.html says why; set RUN to another run."
        )

    def parameters(self, component: str) -> dict[str, Any]:
        return self.step(component)["parameters"]

    def input(self, component: str, name: str) -> Path:
        """Returns where an artifact lies that a component's step read."""
        return Path(self.step(component)["input_artifacts"][name]["uri"])

    def output(self, component: str, name: str) -> Path:
        """Returns where an artifact lies that a component's step wrote."""
        return Path(self.step(component)["output_artifacts"][name]["uri"])


def find(run: str = "", pipeline: str = "", component: str = "") -> Run:
    """Finds a run.

    Args:
        run: a run's name or folder; empty: the latest of `pipeline`.
        pipeline: its name; empty: any.
        component: the run must have outputs of it.

    Raises:
        LookupError: there is no such run.
    """
    if run:
        folder = RUNS / run  # an absolute path replaces RUNS
        if not (folder / "run.json").is_file():
            raise LookupError(f"{run} is no run: it has no run.json. RUN takes a folder's name in runs/, or its path.")
        found = _load(folder)
        if component:
            found.step(component)
        return found
    suited = [item for item in _of_pipeline(RUNS, pipeline) if not component or item.has(component)]
    if not suited:
        wanted = f"{pipeline or 'any pipeline'} with outputs of {component or 'any component'}"
        raise LookupError(f"No run of {wanted} is in runs/. Run `make run`, or set PIPELINE or RUN.")
    return suited[-1]


def previous(run: Run, component: str) -> Run | None:
    """Returns the latest earlier run of the same pipeline that has outputs of `component`; None if there is none."""
    earlier = [
        item
        for item in _of_pipeline(run.folder.parent, run.record["pipeline"])
        if item.record["started_at"] < run.record["started_at"] and item.has(component)
    ]
    return earlier[-1] if earlier else None


def _finished(task: dict[str, Any], component: str) -> bool:
    return task["component"] == component and task["state"] in _HAS_OUTPUTS


def _of_pipeline(runs: Path, pipeline: str) -> list[Run]:
    """Returns the runs in the folder `runs`, earliest first."""
    # Pipeline's names have `-` where folders in pipelines/ have `_`; either is taken.
    wanted = pipeline.replace("_", "-")
    found = [_load(path.parent) for path in runs.glob("[!.]*/run.json")]
    found = [item for item in found if wanted in ("", item.record["pipeline"])]
    return sorted(found, key=lambda item: item.record["started_at"])


def _load(folder: Path) -> Run:
    return Run(folder, json.loads((folder / "run.json").read_text(encoding="utf-8")))
