"""CPU time of one event of a trigger that remembers many objects.

    trigger_events.py make FOLDER OBJECTS     a project, and the memory of a trigger that was told of so many objects
    trigger_events.py measure FOLDER EVENTS   tells it so many new ones and as many again; prints JSON

Objects are told of evenly over the eight days that a trigger remembers. They are written into its shards as events
would have left them there; telling a million of them takes hours.
"""

import json
import shutil
import statistics
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeyard.system.conditional_store import VersionedObject
from pipeyard.triggers import cloud_function, decision, dispatch, routing, shards
from pipeyard.triggers.domain import Asked, Code, Event, EventKind, Newest, Seen, TriggerState

_SETTINGS = """\
environments:
  here:
    target: local
    pipeline_root: ${PROJECT_ROOT}/runs
    pipelines:
      taxi:
        triggers:
        - {name: every, kind: event, bucket: landing, parameter: source}
"""


def _body(number: int, created: datetime) -> dict[str, str]:
    return {
        "kind": "storage#object",
        "bucket": "landing",
        "name": f"taxi/{number}.csv",
        "generation": str(10**15 + number),
        "timeCreated": created.isoformat(),
    }


def _asked(number: int, at: datetime) -> Asked:
    uri = f"gs://landing/taxi/{number}.csv"
    subject = f"{uri}#{10**15 + number}"
    return decision.asked(Event(kind=EventKind.OBJECT, id=f"m{number}", subject=subject, uri=uri, time=at))


def _make(folder: Path, objects: int) -> None:
    (folder / "settings.yaml").write_text(_SETTINGS, encoding="utf-8")
    now = datetime.now(UTC)
    groups: dict[str, shards.ShardLines] = defaultdict(dict)
    for number in range(objects):
        at = now - timedelta(days=8) * (objects - number) / objects
        asked = _asked(number, at)
        for key in asked.seen[:2]:
            groups[shards.name_of(key)] |= shards.entry_of_seen(key, Seen(at=at, code=Code.STARTED))
        for key in asked.newest:
            newest = Newest(time=at, generation=10**15 + number, at=at)
            groups[shards.name_of(key)] |= shards.entry_of_newest(key, newest)
    store = _store(folder)
    for name, lines in groups.items():
        store.part(name).write(shards.merge(b"", lines, timedelta(days=9)), None)
    store.write(TriggerState(sharded=True).model_dump_json().encode(), None)


def _store(folder: Path) -> VersionedObject:
    served = _served(folder)
    return routing.store(served.environment, routing.all_of(served.environment)[0])


def _served(folder: Path) -> dispatch.Triggers:
    return cloud_function.triggers(
        folder, {cloud_function.ENVIRONMENT: "here"}, lambda env, pipeline, parameters, key: f"run-{key}"
    )


def _measure(folder: Path, events: int) -> None:
    work = Path.cwd() / "project"
    shutil.copytree(folder, work)
    served = _served(work)
    now = datetime.now(UTC)
    # Until the trigger's state is full, and each event moves entries into shards.
    new = [_body(10**9 + number, now) for number in range(shards.MOST_RECENT // 3 + events)]
    times = [_tell(served, f"n{number}", body, "started") for number, body in enumerate(new)][-events:]
    times += [_tell(served, f"n{number}", body, "duplicate") for number, body in enumerate(new[-events:])]
    told = {"median_ms": statistics.median(times), "p99_ms": statistics.quantiles(times, n=100)[-1]}
    print(json.dumps({**told, "most_ms": max(times)}))


def _tell(served: dispatch.Triggers, message: str, body: dict[str, str], code: str) -> float:
    headers = {"content-type": "application/json", "x-goog-pubsub-message-id": message}
    content = json.dumps(body).encode()
    began = time.process_time()
    status, told = cloud_function.answer(served, headers, content, lambda line: None)
    spent = (time.process_time() - began) * 1000
    if status != 200 or told["told"][0]["code"] != code:
        raise SystemExit(f"{body['name']}: {status} {told}")
    return spent


if __name__ == "__main__":
    {"make": _make, "measure": _measure}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
