"""A pushed SavedModel asked for rows as JSON has them, as somebody would write it for a server by its manual.

python saved_model_rows.py SAVED_MODEL ROW CALLS -> JSON on stdout: p50 and p99 of a row in this process, calls a second
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def loaded(path: str) -> Callable[[list[dict[str, Any]]], list[list[float]]]:
    """Returns a function from rows to the model's numbers."""
    import tensorflow as tf

    model = tf.saved_model.load(path)
    signature = model.signatures["serve_raw"]
    inputs = signature.structured_input_signature[1]

    def ask(rows: list[dict[str, Any]]) -> list[list[float]]:
        given = {
            name: tf.reshape(tf.constant([row[name] for row in rows], spec.dtype), [-1, *spec.shape[1:]])
            for name, spec in inputs.items()
        }
        (answer,) = list(signature(**given).values())[:1]
        numbers: list[list[float]] = answer.numpy().tolist()
        return numbers

    ask.model = model  # type: ignore[attr-defined]  # variables live as long as it
    return ask


def main() -> None:
    """Times calls of one row."""
    path, row, calls = sys.argv[1:]
    ask = loaded(path)
    rows = [json.loads(Path(row).read_text(encoding="utf-8"))]
    for _ in range(50):
        ask(rows)
    taken = []
    began = time.perf_counter()
    for _ in range(int(calls)):
        start = time.perf_counter()
        ask(rows)
        taken.append(time.perf_counter() - start)
    seconds = time.perf_counter() - began
    taken.sort()
    found = {"p50_ms": taken[len(taken) // 2] * 1e3, "p99_ms": taken[int(len(taken) * 0.99)] * 1e3}
    print(json.dumps(found | {"rate_1": len(taken) / seconds}))


if __name__ == "__main__":
    main()
