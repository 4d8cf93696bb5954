"""Which request does what."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from . import packages
from .listing import page
from .refusals import Refused, invalid
from .store import ENDS, Store

PREFIX = "/apis/v2beta1/"
Query = Mapping[str, str]
# What begins without the database: the last two make their object in Kubernetes before they fail at recording it.
_UNREAD = {("GET", "healthz"), ("POST", "runs"), ("POST", "recurringruns")}


class Api:
    """Answers requests of API v2beta1.

    Args:
        started: hears of a new run and of the specification that it runs.
        stopped: hears of a run that is to stop.
        asked: hears of a run that is asked for, before it is shown.
        largest_page: items of a list's page at most.
    """

    def __init__(
        self,
        store: Store,
        started: Callable[[dict, dict], None],
        stopped: Callable[[dict], None],
        asked: Callable[[dict], None],
        largest_page: int,
    ) -> None:
        self._store = store
        self._started = started
        self._stopped = stopped
        self._asked = asked
        self._largest_page = largest_page
        key = r"([^/:]+)"
        self._routes: list[tuple[str, str, Callable[..., dict]]] = [
            ("GET", "healthz", self._health),
            ("POST", "pipelines/upload", self._upload),
            ("POST", "pipelines/upload_version", self._upload_version),
            ("GET", "pipelines", self._list_pipelines),
            ("POST", "pipelines", self._add_pipeline),
            ("GET", "pipelines/names/(.+)", lambda query, body, name: store.pipeline_named(name, _space(query))),
            ("GET", f"pipelines/{key}", lambda query, body, one: store.pipeline(one)),
            ("DELETE", f"pipelines/{key}", lambda query, body, one: store.remove_pipeline(one)),
            ("GET", f"pipelines/{key}/versions", self._list_versions),
            ("GET", f"pipelines/{key}/versions/{key}", lambda query, body, one, two: store.version(one, two)),
            ("DELETE", f"pipelines/{key}/versions/{key}", self._remove_version),
            ("GET", "experiments", self._list_experiments),
            ("POST", "experiments", lambda query, body: store.add_experiment(_json(body))),
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
            ("POST", "recurringruns", lambda query, body: store.add_recurring_run(_json(body))),
            ("GET", f"recurringruns/{key}", lambda query, body, one: store.recurring_run(one)),
            ("POST", f"recurringruns/{key}:enable", lambda query, body, one: store.enable(one, True)),
            ("POST", f"recurringruns/{key}:disable", lambda query, body, one: store.enable(one, False)),
            ("DELETE", f"recurringruns/{key}", lambda query, body, one: store.remove_recurring_run(one)),
        ]

    def answer(self, method: str, path: str, query: Query, body: bytes, content_type: str) -> dict:
        """Returns the answer's JSON.

        Raises:
            Refused: the request isn't done.
        """
        if not path.startswith(PREFIX):
            raise Refused(404, f"Not Found: {path}")
        for verb, pattern, handle in self._routes:
            found = re.fullmatch(pattern, path.removeprefix(PREFIX))
            if verb == method and found:
                if (verb, pattern) not in _UNREAD:
                    self._store.database.read()
                if "multipart" in content_type:
                    name, data = packages.uploaded(content_type, body)
                    return handle(query, packages.pipeline_text(name, data), *found.groups())
                return handle(query, body, *found.groups())
        raise Refused(501, f"Method Not Allowed: {method} {path}")

    def _health(self, _query: Query, _body: bytes) -> dict:
        return {"multi_user": self._store.several_users, "pipeline_store": "database"}

    def _upload(self, query: Query, text: str) -> dict:
        """The pipeline's first version is called as the pipeline is, whatever one would have it called."""
        packages.specification(text)
        made = self._store.add_pipeline(query.get("name", ""), query.get("display_name", ""), _space(query))
        self._store.add_version(made["pipeline_id"], made["name"], made["display_name"], text, _tags(query))
        return made

    def _upload_version(self, query: Query, text: str) -> dict:
        key = query.get("pipelineid", "")
        if key not in self._store.pipelines:
            raise Refused(400, "Failed to create a pipeline version")
        return self._store.add_version(key, query.get("name", ""), query.get("display_name", ""), text, _tags(query))

    def _add_pipeline(self, _query: Query, body: bytes) -> dict:
        given = _json(body)
        return self._store.add_pipeline(
            given.get("name") or given.get("display_name", ""),
            given.get("display_name", ""),
            given.get("namespace", ""),
            given.get("description", ""),
        )

    def _remove_version(self, _query: Query, _body: bytes, pipeline: str, version: str) -> dict:
        self._store.version(pipeline, version)
        del self._store.versions[version]
        return {}

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
        """Those of an experiment, or of a namespace's experiments."""
        if key := query.get("experiment_id"):
            self._store.experiment(key)
            return [each for each in things.values() if each["experiment_id"] == key]
        inside = {each["experiment_id"] for each in self._store.experiments_in(_space(query))}
        return [each for each in things.values() if each["experiment_id"] in inside]

    def _add_run(self, _query: Query, body: bytes) -> dict:
        run, spec = self._store.add_run(_json(body))
        self._started(run, spec)
        return run

    def _run(self, _query: Query, _body: bytes, key: str) -> dict:
        run = self._store.run(key)
        self._asked(run)
        return run

    def _stop(self, _query: Query, _body: bytes, key: str) -> dict:
        run = self._store.run(key)
        if run["state"] in ENDS:
            raise Refused(400, f"Failed precondition: the run {key} has ended")
        self._store.terminate(key)
        self._stopped(run)
        return {}

    def _retry(self, _query: Query, _body: bytes, key: str) -> dict:
        self._started(*self._store.retry_run(key))
        return {}

    def _page(self, items: list[dict], query: Query, field: str) -> dict[str, Any]:
        return page(items, query, field, self._largest_page)


def _space(query: Query) -> str:
    return query.get("namespace", "")


def _tags(query: Query) -> dict[str, str]:
    try:
        tags = json.loads(query.get("tags") or "{}")
    except ValueError as error:
        raise invalid("Failed to parse tags query parameter") from error
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise invalid("Expected JSON object with string keys and values")
    return tags


def _json(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except ValueError as error:
        raise invalid(f"the request isn't JSON: {error}") from error
    if not isinstance(given, dict):
        raise invalid("the request is no object")
    return given
