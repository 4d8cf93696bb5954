"""Measures local runs: everything computed, against everything from the step cache.

Sides take turns in one run of this script, medians are of `--repeat` rounds, time is of whole processes and memory the
peak of the process tree. Usage: .venv/bin/python benchmarks/local_runs.py [--pipeline chicago_taxi] [--repeat 3]
Writes benchmarks/results/local_runs-PIPELINE.{md,json}.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
PIPEYARD = Path(sys.executable).with_name("pipeyard")


def measure(command: list[str]) -> dict[str, float]:
    """Runs a command; returns wall and CPU seconds and the peak resident bytes of its process tree."""
    before = os.times()
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = [0]
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watcher.start()
    code = process.wait()
    wall = time.perf_counter() - began
    done.set()
    watcher.join()
    if code != 0:
        raise SystemExit(f"{' '.join(command)} failed with exit code {code}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall_s": wall, "cpu_s": cpu, "peak_mb": peak[0] / 1e6}


def _watch(pid: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.1):
        try:
            parent = psutil.Process(pid)
            tree = [parent, *parent.children(recursive=True)]
            peak[0] = max(peak[0], sum(each.memory_info().rss for each in tree))
        except psutil.NoSuchProcess:
            continue


def main() -> None:
    """Measures and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", default="chicago_taxi")
    parser.add_argument("--repeat", type=int, default=3, help="rounds (medians are taken)")
    args = parser.parse_args()

    rounds: dict[str, list[dict[str, float]]] = {"everything computed": [], "everything cached": []}
    with tempfile.TemporaryDirectory(prefix="pipeyard-benchmark-") as scratch:
        for number in range(args.repeat):
            place = Path(scratch) / str(number)
            command = [str(PIPEYARD), "run", args.pipeline, f"--param=serving_uri={place}/serving"]
            command.append(f"--param=registry_uri=sqlite:///{place}/registry.db")
            place.mkdir()
            rounds["everything computed"].append(measure([*command, "--no-cache"]))
            rounds["everything cached"].append(measure(command))
    medians = {
        side: {key: statistics.median(each[key] for each in measured) for key in measured[0]}
        for side, measured in rounds.items()
    }
    first = medians["everything computed"]
    lines = [
        f"# Local runs of {args.pipeline}",
        "",
        f"`{Path(sys.executable).name} benchmarks/local_runs.py --pipeline {args.pipeline} --repeat {args.repeat}`; "
        f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.platform()}, "
        f"Python {platform.python_version()}; medians of {args.repeat}, sides in turn.",
        "",
        "| | wall | of the computed run | CPU | peak memory |",
        "|---|---|---|---|---|",
    ]
    for side, each in medians.items():
        lines.append(
            f"| {side} | {each['wall_s']:.1f} s | {each['wall_s'] / first['wall_s']:.2f} | {each['cpu_s']:.1f} s "
            f"| {each['peak_mb']:,.0f} MB |"
        )
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    name = f"local_runs-{args.pipeline}"
    (results / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (results / f"{name}.json").write_text(json.dumps(rounds, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
