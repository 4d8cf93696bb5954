"""What the step cache of local runs saves."""

import json
import shutil

from benchmarks import places
from benchmarks.data import TAXI, count_rows
from benchmarks.measuring import STDOUT
from benchmarks.table import Case, Ready, Round, Side, Table

COMPUTED = "everything computed"
CACHED = "everything from the cache"


def _side(cached: bool) -> Ready:
    for component in places.PROJECT.components.values():
        places.python(component.folder)

    def command(each: Round) -> list[str]:
        # One place for both sides of a round: where a model goes is an input that the cache knows steps by.
        place = each.shared / str(each.number)
        place.mkdir(exist_ok=True)
        given = [f"--param=serving_uri={place}/serving", f"--param=registry_uri=sqlite:///{place}/registry.db"]
        options = ["--json", f"--project={places.ROOT}", *([] if cached else ["--no-cache"])]
        return [str(places.PIPEYARD), "run", "chicago_taxi", *options, *given]

    def facts(each: Round) -> dict[str, float]:
        run = json.loads((each.folder / STDOUT).read_text(encoding="utf-8"))
        if cached:  # the other side's runs are what the cache reads
            shutil.rmtree(places.ROOT / "runs" / run["id"])
        return {}

    return Ready(command, facts=facts)


TABLE = Table(
    name="local_runs",
    title="Local runs and their cache",
    about="`pipeyard run chicago_taxi`, all steps computed, and again with every step from the cache but the summary.",
    ours=COMPUTED,
    cases=lambda quick: [
        Case(
            "chicago_taxi",
            lambda: count_rows(TAXI),
            [Side(COMPUTED, lambda: _side(False)), Side(CACHED, lambda: _side(True))],
        )
    ],
)
