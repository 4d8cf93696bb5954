"""The model server against others that serve the same SavedModel."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import data, places, steps
from benchmarks.measuring import STDOUT
from benchmarks.results import TableResult, Verdict, at_least, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OURS = "model_server"
KSERVE = "kserve's ModelServer"
MLSERVER = "MLServer"
TENSORFLOW = "TensorFlow in process"
HTTP = "bare HTTP"
CASE = "flights"
_NAME = "flights"
_SERVICE = places.ROOT / "services" / "model_server"
_LOAD = places.PROGRAMS / "server_load.py"
_PYTHON = places.PIPEYARD.with_name("python")
_ROWS = 20_000
_BATCH_ROWS = 256
_V2_TYPES = {str: "BYTES", int: "INT64", float: "FP64"}


def _model() -> Path:
    return steps.Prepared(data.flights(_ROWS), steps.SPLIT).model


def _ours(model: Path) -> list[str]:
    interpreter = places.python(_SERVICE)
    return [str(interpreter), "-m", "model_server", f"--path={model}", f"--name={_NAME}", "--version=1", "--port=PORT"]


def _row(model: Path) -> dict[str, Any]:
    """Returns a row that has every column, the same for every side."""

    def write(folder: Path) -> None:
        said = places.told([_PYTHON, _LOAD, "example", _NAME, *_ours(model)])
        (folder / "row.json").write_text(said, encoding="utf-8")

    content = (steps.once(f"served-row-{model.parent.name}", write) / "row.json").read_text(encoding="utf-8")
    row: dict[str, Any] = json.loads(content)
    return row


def _v1(rows: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"instances": list(rows)})


def _v2(rows: Sequence[dict[str, Any]]) -> str:
    inputs = [
        {"name": name, "shape": [len(rows), 1], "datatype": _V2_TYPES[type(value)], "data": [row[name] for row in rows]}
        for name, value in rows[0].items()
    ]
    return json.dumps({"inputs": inputs})


def _command(side: str, model: Path) -> list[str]:
    """Returns what starts a server."""
    programs = {KSERVE: "kserve_stock.py", MLSERVER: "mlserver_runtime.py", HTTP: "bare_http.py"}
    if side == OURS:
        return _ours(model)
    interpreter = places.python(places.PEERS / "mlserver" if side == MLSERVER else _SERVICE)
    served = [] if side == HTTP else [str(model), _NAME]
    return [str(interpreter), str(places.PROGRAMS / programs[side]), *served, "PORT"]


def server(side: str, seconds: float, model: Path) -> Ready:
    """Returns a server of a model of flights under load.

    Args:
        side: of this table.
        seconds: that each number of clients asks.
    """
    row = _row(model)
    command = _command(side, model)
    path, body = (f"/v2/models/{_NAME}/infer", _v2) if side == MLSERVER else (f"/v1/models/{_NAME}:predict", _v1)

    def asked(each: Round) -> list[str]:
        bodies = {"path": path, "row": body([row]), "batch": body([row] * _BATCH_ROWS)}
        file = each.folder / "bodies.json"
        file.write_text(json.dumps(bodies), encoding="utf-8")
        return [str(_PYTHON), str(_LOAD), str(file), str(seconds), *command]

    names = {MLSERVER: ["mlserver", "tensorflow-cpu"], HTTP: ["uvicorn", "httptools"]}.get(
        side, ["kserve", "tensorflow-cpu"]
    )
    return Ready(asked, versions=places.versions(Path(command[0]), names), facts=_facts)


def _of_flights(side: str, seconds: float) -> Ready:
    return server(side, seconds, _model())


def _in_process(calls: int) -> Ready:
    model = _model()
    row = _row(model)
    interpreter = places.python(_SERVICE)

    def asked(each: Round) -> list[str]:
        file = each.folder / "row.json"
        file.write_text(json.dumps(row), encoding="utf-8")
        return [str(interpreter), str(places.PROGRAMS / "saved_model_rows.py"), str(model), str(file), str(calls)]

    return Ready(asked, versions=places.versions(interpreter, ["tensorflow-cpu"]), facts=_facts)


def _facts(each: Round) -> dict[str, float]:
    facts: dict[str, float] = json.loads((each.folder / STDOUT).read_text(encoding="utf-8").splitlines()[-1])
    return facts


def _cases(quick: bool) -> list[Case]:
    seconds, calls = (1.0, 500) if quick else (10.0, 10_000)
    notes = {
        OURS: "Its port, without the router.",
        KSERVE: "A Model that calls the SavedModel's signature, as its manual has it.",
        MLSERVER: "A custom runtime that does the same, by V2; without workers of its own, which took longer.",
        HTTP: "uvicorn, JSON read, a constant answered.",
    }
    sides = [Side(name, functools.partial(_of_flights, name, seconds), note) for name, note in notes.items()]
    sides.append(Side(TENSORFLOW, functools.partial(_in_process, calls), "tf.saved_model.load, one row a call."))
    return [Case(CASE, lambda: 0, sides)]


def _verdicts(result: TableResult) -> list[Verdict]:
    def of(side: str, fact: str) -> float | None:
        return result.median(CASE, side, fact)

    parts = [of(side, "p50_ms") for side in (TENSORFLOW, HTTP)]
    least = None if None in parts else sum(each for each in parts if each is not None)
    return [
        at_most(
            "p50 at most 1.5 of TensorFlow in process and bare HTTP together", quotient(of(OURS, "p50_ms"), least), 1.5
        ),
        at_least(
            "throughput of 8 clients at least 1.3x kserve's", quotient(of(OURS, "rate_8"), of(KSERVE, "rate_8")), 1.3
        ),
        at_most("p99 at most 5 times p50", quotient(of(OURS, "p99_ms"), of(OURS, "p50_ms")), 5),
        at_most("ready in 6 s", of(OURS, "ready_s"), 6, lambda value: f"{value:.1f} s"),
        at_most("700 MB for the first version", of(OURS, "first_mb"), 700, lambda value: f"{value:.0f} MB"),
        at_most("250 MB of its own for each further one", of(OURS, "further_mb"), 250, lambda value: f"{value:.0f} MB"),
    ]


TABLE = Table(
    name="model_server",
    title="Model server",
    about=(
        "One row a request over kept connections, by 1, 8 and 16 clients that each wait for their answer, from a "
        "process beside the server on the same cores; then 256 rows a request. Memory is of the first server's "
        "processes after that (PSS), and what a second one has that nobody shares. Wall and CPU are of the whole "
        "round, with starts."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
    facts={
        "p50_ms": "p50, ms",
        "p99_ms": "p99, ms",
        "rate_1": "requests/s, 1 client",
        "rate_8": "8 clients",
        "rate_16": "16 clients",
        "batch_rows_s": "rows/s, 256 a request",
        "ready_s": "ready, s",
        "first_mb": "first, MB",
        "further_mb": "further, MB",
    },
    drawn="p50_ms",
)
