"""Clients of a served model, in threads, and what they got."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import requests

_CLIENTS = 4
_KINDS = {"INT": lambda text: int(float(text)), "FLOAT": float, "BYTES": str}


class LiveTraffic:
    """Asks about rows of data, one a request, again and again until it is ended.

    Args:
        url: the model's, without `:predict`.
        rows: of a CSV file; what the model doesn't take of them isn't sent.

    Attributes:
        answered: version to count of answers.
        failed: status or error to count of requests that got none.
        hurry: is set: without pauses.
    """

    def __init__(self, url: str, rows: Sequence[dict[str, str]]) -> None:
        self._url = f"{url}:predict"
        columns = {each["name"]: _KINDS[each["type"]] for each in requests.get(url, timeout=30).json()["columns"]}
        self._rows = [{name: kind(row[name]) if row[name] else None for name, kind in columns.items()} for row in rows]
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.hurry = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ends it when all has been answered."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            for count in itertools.count():
                if self._ended.is_set():
                    return
                row = self._rows[(count * _CLIENTS + number) % len(self._rows)]
                counter, key = self._answer(session, row, f"{number}-{count}")
                with self._lock:
                    counter[key] += 1
                if not self.hurry.is_set():
                    time.sleep(0.05)

    def _answer(self, session: requests.Session, row: dict[str, Any], key: str) -> tuple[Counter[str], str]:
        try:
            found = session.post(
                self._url, json={"instances": [row]}, headers={"x-routing-key": key, "x-request-id": key}, timeout=60
            )
        except requests.RequestException as error:
            return self.failed, type(error).__name__
        if found.status_code != 200:
            return self.failed, f"{found.status_code}: {found.text[:200]}"
        return self.answered, found.headers["x-model-version"]
