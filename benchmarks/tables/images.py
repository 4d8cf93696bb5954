"""Images: what a commit costs that changes nothing, one component, or is the first; and what images take on disk."""

import atexit
import contextlib
import functools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import places
from benchmarks.measuring import STDOUT, FailedError
from benchmarks.results import TableResult, Verdict, at_least, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table
from pipeyard.images import sizes

if TYPE_CHECKING:
    from tests.engine.sandbox.engine import Engine

CASE = "a commit's images"
EVERYTHING = "all images, from nothing"
NOTHING = "no component changed"
# The one with the shortest unit tests that has packages of its own, and the one with the most.
CHANGED = ("extract", "train")
_MB = 1e6
_TOGETHER = "together"
_IDENTITY = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost")


def one(component: str) -> str:
    """Returns the name of the side in which a component's source changes."""
    return f"{component}'s source changed"


@dataclass(frozen=True)
class _Place:
    """An engine and a registry of the benchmark's own, with an image that has Python."""

    engine: "Engine"
    host: str
    python: str

    def forget(self) -> None:
        """Makes the engine as one that has never built: no layers, no caches."""
        self.engine.docker("builder", "prune", "--all", "--force")
        self.engine.docker("system", "prune", "--all", "--force")


@functools.cache
def _place() -> _Place:
    from tests.engine.sandbox import engine, programs, python_image, registry

    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    try:
        started = stack.enter_context(engine.running())
        served = stack.enter_context(registry.running())
        folder = stack.enter_context(engine.state_folder())
        python = f"{served.host}/python:3.11"
        python_image.publish(folder, started, python)
    except (programs.NotAvailableError, RuntimeError) as error:
        raise places.UnavailableError(str(error)) from error
    return _Place(started, served.host, python)


def _clone(each: Round) -> Path:
    """The round's clone of this repository as it is committed; the first side that comes makes it."""
    folder = each.shared / str(each.number)
    if not folder.exists():
        places.told(["git", "clone", "--quiet", places.ROOT, folder])
    return folder


def _commit(clone: Path, file: str) -> None:
    with (clone / file).open("a", encoding="utf-8") as stream:
        stream.write("\n")
    places.told(["git", "-C", clone, *_IDENTITY, "commit", "--quiet", "--all", "--message=Change"])


def _side(components: Sequence[str], changed: str, built: int) -> Ready:
    """A side whose commit changes a file, '' for none, and that has to build so many images."""
    place = _place()

    def command(each: Round) -> list[str]:
        clone = _clone(each)
        if changed:
            _commit(clone, changed)
        place.forget()
        return [
            str(places.PIPEYARD), "build", "--json", f"--project={clone}", f"--registry={place.host}/{each.number}",
            f"--python-image={place.python}", "--builder-option=--network=host", *components,
        ]  # fmt: skip

    def facts(each: Round) -> dict[str, float]:
        told = json.loads((each.folder / STDOUT).read_text(encoding="utf-8"))
        done = sum(image["built"] for image in told["images"])
        if done != built:
            raise FailedError(f"{done} images were built, not {built}")
        found = {image["name"]: image["disk_bytes"] for image in told["images"]} | {_TOGETHER: told["disk_bytes"]}
        shutil.rmtree(_clone(each) / "dist")
        return (
            {name: size / _MB for name, size in found.items() if size is not None} if built == len(components) else {}
        )

    from pipeyard.repository import venvs

    env = {**places.plain_env(), **place.engine.variables, "UV": venvs.uv(places.PROJECT)}
    env.pop("COMMIT_SHA", None)
    return Ready(
        command, env, {"docker": place.engine.docker("version", "--format", "{{.Server.Version}}").strip()}, facts
    )


def _cases(quick: bool) -> list[Case]:
    names = ["extract", "summarize"] if quick else list(places.PROJECT.components)
    changed = [name for name in CHANGED if name in names]
    sides = [
        Side(EVERYTHING, lambda: _side(names, "", len(names)), "As the well-known sample does for every commit."),
        Side(NOTHING, lambda: _side(names, "README.md", 0)),
        *(
            Side(one(name), functools.partial(_side, names, f"components/{name}/src/{name}/__main__.py", 1))
            for name in changed
        ),
    ]
    return [Case(CASE, lambda: 0, sides)]


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _verdicts(result: TableResult) -> list[Verdict]:
    def wall(side: str) -> float | None:
        return result.median(CASE, side, "wall_s")

    def disk(name: str) -> float | None:
        return result.median(CASE, EVERYTHING, name)

    found = [at_most("no component changed: at most 3 s", wall(NOTHING), 3, _seconds)]
    found += [
        at_least(f"{one(name)}: at least 8x as fast as building all", quotient(wall(EVERYTHING), wall(one(name))), 8)
        for name in CHANGED
    ]
    goals = sizes.goals(places.PROJECT)
    show = "{:,.0f} MB".format
    for name in places.PROJECT.components:
        goal = goals.get(name, goals[sizes.EACH]) / _MB
        found.append(at_most(f"{name}: at most {goal:,.0f} MB on disk", disk(name), goal, show))
    goal = goals[sizes.TOGETHER] / _MB
    found.append(at_most(f"all on one node: at most {goal:,.0f} MB of layers", disk(_TOGETHER), goal, show))
    return found


TABLE = Table(
    name="images",
    title="Images",
    about=(
        "`pipeyard build` of a commit, with each image's unit tests, pushed to a registry on this machine, two images "
        "at a time. The engine has no layers and no caches when a side begins, as a new machine of a CI service. CPU "
        "and memory are of the command alone, not of the engine. Sizes are of unpacked layers, in MB (1e6 bytes)."
    ),
    ours=EVERYTHING,
    cases=_cases,
    verdicts=_verdicts,
    facts={**{name: f"{name}, MB" for name in places.PROJECT.components}, _TOGETHER: "together, MB"},
)
