"""Which request does what."""

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from . import messages
from .listing import page
from .refusals import Refused, malformed
from .store import Store
from .uploads import Uploads

PREFIX = "/apis/v2beta1/"
Query = Mapping[str, str]
# What begins without the database: the last two make their object in Kubernetes before they fail at recording it.
_UNREAD = {("GET", "healthz"), ("POST", "runs"), ("POST", "recurringruns")}
_UPLOADS = ("pipelines/upload", "pipelines/upload_version")


class Api:
    """Answers requests of API v2beta1.

    Args:
        started: hears of a new run and of the specification that it runs.
        stopped: hears of a run that is to stop.
        asked: hears of a run that is asked for, before it is shown.
        largest_page: items of a list's page at most.
        version: of the server.
    """

    def __init__(
        self,
        store: Store,
        started: Callable[[dict, dict], None],
        stopped: Callable[[dict], None],
        asked: Callable[[dict], None],
        largest_page: int,
        version: str,
    ) -> None:
        self._version = {"commit_sha": "unknown", "tag_name": version}
        self._store = store
        self._uploads = Uploads(store)
        self._started = started
        self._stopped = stopped
        self._asked = asked
        self._largest_page = largest_page
        key = r"([^/:]+)"
        self._routes: list[tuple[str, str, Callable[..., dict]]] = [
            ("GET", "healthz", self._health),
            ("GET", "pipelines", self._list_pipelines),
            ("POST", "pipelines", lambda query, body: store.add_pipeline(_read("V2beta1Pipeline", body))),
            ("GET", "pipelines/names/([^/]+)", lambda query, body, name: store.pipeline_named(name, _space(query))),
            ("GET", f"pipelines/{key}", lambda query, body, one: store.pipeline(one)),
            ("DELETE", f"pipelines/{key}", self._remove_pipeline),
            ("GET", f"pipelines/{key}/versions", self._list_versions),
            ("GET", f"pipelines/{key}/versions/{key}", lambda query, body, one, two: store.version(two)),
            ("DELETE", f"pipelines/{key}/versions/{key}", lambda query, body, one, two: store.remove_version(two)),
            ("GET", "experiments", self._list_experiments),
            ("POST", "experiments", lambda query, body: store.add_experiment(_read("V2beta1Experiment", body))),
            ("GET", f"experiments/{key}", lambda query, body, one: store.experiment(one)),
            ("POST", f"experiments/{key}:archive", lambda query, body, one: store.archive_experiment(one, True)),
            ("POST", f"experiments/{key}:unarchive", lambda query, body, one: store.archive_experiment(one, False)),
            ("DELETE", f"experiments/{key}", lambda query, body, one: store.remove_experiment(one)),
            ("GET", "runs", self._list_runs),
            ("POST", "runs", self._add_run),
            ("GET", f"runs/{key}", self._run),
            ("DELETE", f"runs/{key}", lambda query, body, one: store.remove_run(one)),
            ("POST", f"runs/{key}:archive", lambda query, body, one: store.archive_run(one, True)),
            ("POST", f"runs/{key}:unarchive", lambda query, body, one: store.archive_run(one, False)),
            ("POST", f"runs/{key}:retry", self._retry),
            ("POST", f"runs/{key}:terminate", self._stop),
            ("GET", "recurringruns", self._list_recurring_runs),
            ("POST", "recurringruns", lambda query, body: store.add_recurring_run(_read("V2beta1RecurringRun", body))),
            ("GET", f"recurringruns/{key}", lambda query, body, one: store.recurring_run(one)),
            ("POST", f"recurringruns/{key}:enable", lambda query, body, one: store.enable(one, True)),
            ("POST", f"recurringruns/{key}:disable", lambda query, body, one: store.enable(one, False)),
            ("DELETE", f"recurringruns/{key}", lambda query, body, one: store.remove_recurring_run(one)),
        ]

    def answer(self, method: str, path: str, query: Query, body: bytes, content_type: str) -> dict:
        """Returns the answer's JSON.

        Raises:
            Refused: the request isn't done.
            Unanswered: it is never answered.
        """
        path = posixpath.normpath(path) + ("/" if path.endswith("/") else "")
        if path == "/apis/v1beta1/healthz":
            return {**self._version, "multi_user": self._store.several_users}
        name = path.removeprefix(PREFIX)
        if not path.startswith(PREFIX):
            raise Refused(404, "Not Found", told=False)
        if name in _UPLOADS:
            self._store.database.read()
            upload = self._uploads.pipeline if name == _UPLOADS[0] else self._uploads.version
            return shown(upload(query, content_type, body))
        known = False
        for verb, pattern, handle in self._routes:
            if found := re.fullmatch(pattern, name):
                known = True
                if verb == method:
                    if (verb, pattern) not in _UNREAD:
                        self._store.database.read()
                    return shown(handle(query, body, *found.groups()))
        raise Refused(501, "Method Not Allowed", told=False) if known else Refused(404, "Not Found", told=False)

    def _health(self, _query: Query, _body: bytes) -> dict:
        return {**self._version, "multi_user": self._store.several_users, "pipeline_store": "database"}

    def _remove_pipeline(self, query: Query, _body: bytes, key: str) -> dict:
        return self._store.remove_pipeline(key, query.get("cascade", "").lower() in ("true", "1"))

    def _list_pipelines(self, query: Query, _body: bytes) -> dict:
        return self._page(self._store.pipelines_in(_space(query)), query, "pipelines")

    def _list_versions(self, query: Query, _body: bytes, pipeline: str) -> dict:
        self._store.pipeline(pipeline)
        found = [each for each in self._store.versions.values() if each["pipeline_id"] == pipeline]
        return self._page(found, query, "pipeline_versions")

    def _list_experiments(self, query: Query, _body: bytes) -> dict:
        return self._page(self._store.experiments_in(_space(query)), query, "experiments")

    def _list_runs(self, query: Query, _body: bytes) -> dict:
        return self._page(self._in_scope(self._store.runs, query), query, "runs")

    def _list_recurring_runs(self, query: Query, _body: bytes) -> dict:
        return self._page(self._in_scope(self._store.recurring_runs, query), query, "recurringRuns")

    def _in_scope(self, things: Mapping[str, dict], query: Query) -> list[dict]:
        """Those of an experiment that is there, or of a namespace's experiments, or all."""
        if key := query.get("experiment_id"):
            self._store.experiment(key)
            return [each for each in things.values() if each["experiment_id"] == key]
        if not self._store.several_users:
            return list(things.values())
        inside = {each["experiment_id"] for each in self._store.experiments_in(_space(query))}
        return [each for each in things.values() if each["experiment_id"] in inside]

    def _add_run(self, _query: Query, body: bytes) -> dict:
        run, spec = self._store.add_run(_read("V2beta1Run", body))
        answer = shown(run)
        self._started(run, spec)
        return answer

    def _run(self, _query: Query, _body: bytes, key: str) -> dict:
        run = self._store.run(key)
        self._asked(run)
        return run

    def _stop(self, _query: Query, _body: bytes, key: str) -> dict:
        self._store.terminate(key)
        self._stopped(self._store.run(key))
        return {}

    def _retry(self, _query: Query, _body: bytes, key: str) -> dict:
        self._started(*self._store.retry_run(key))
        return {}

    def _page(self, items: list[dict], query: Query, field: str) -> dict[str, Any]:
        found = page(items, query, field, self._largest_page)
        return {**found, field: [shown(each) for each in found[field]]} if field in found else found


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record as protobuf's JSON has it: without what is empty, but for what a run is given.

    A list's items come shown already. Health is told in full.
    """
    if "multi_user" in record:
        return dict(record)
    made = {key: value for key, value in record.items() if value}
    if config := {key: value for key, value in made.pop("runtime_config", {}).items() if value}:
        made["runtime_config"] = config
    return made


def _space(query: Query) -> str:
    return query.get("namespace", "")


def _read(kind: str, body: bytes) -> dict[str, Any]:
    """Returns a request's message. What can't be read is refused by the gateway."""
    try:
        return messages.read(kind, body)
    except ValueError as error:
        raise malformed(str(error)) from error
