"""Pages and order of lists.

Source: kubeflow/pipelines, backend/src/apiserver/list/list.go, backend/src/apiserver/server/list_request_util.go, and
the field maps of backend/src/apiserver/model. Recorded: each kind's list.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from . import filters
from .refusals import Refused, invalid, malformed

_DEFAULT = 20
LARGEST = 200
_INT32 = 2**31
_INTEGER = re.compile(r"[+-]?[0-9]+")
_COMMON = {key: key for key in ("created_at", "description", "namespace")}
# What a list's items can be filtered and sorted by, to the field of an item.
FIELDS: dict[str, dict[str, str]] = {
    "pipelines": {**_COMMON, "id": "pipeline_id", "pipeline_id": "pipeline_id", "tags.": "tags."}
    | {key: key for key in ("name", "display_name")},
    "pipeline_versions": {
        **{key: key for key in ("created_at", "description", "name", "display_name", "pipeline_version_id", "status")},
        "id": "pipeline_version_id",
        "pipeline_spec": "pipeline_spec",
        "tags.": "tags.",
    },
    "experiments": {
        **_COMMON,
        **dict.fromkeys(("id", "experiment_id"), "experiment_id"),
        **dict.fromkeys(("name", "display_name"), "display_name"),
        **{key: key for key in ("last_run_created_at", "storage_state")},
    },
    "runs": {
        **_COMMON,
        **dict.fromkeys(("id", "run_id"), "run_id"),
        **dict.fromkeys(("name", "display_name"), "display_name"),
        **{key: key for key in ("finished_at", "scheduled_at", "storage_state", "state", "experiment_id")},
        "status": "state",
        "recurring_run_id": "recurring_run_id",
    },
    "recurringRuns": {
        **dict.fromkeys(("id", "recurring_run_id"), "recurring_run_id"),
        **dict.fromkeys(("name", "display_name"), "display_name"),
        **{key: key for key in ("created_at", "updated_at", "description")},
    },
}
_KEYS = {
    "pipelines": "pipeline_id",
    "pipeline_versions": "pipeline_version_id",
    "experiments": "experiment_id",
    "runs": "run_id",
    "recurringRuns": "recurring_run_id",
}


def page(items: Sequence[dict], query: Mapping[str, str], field: str, largest: int = LARGEST) -> dict[str, Any]:
    """Returns a page of what fits the filter, in order.

    A token names the item that the next page begins with and not its number, so that what is removed meanwhile makes no
    page leave others out; it has the order and the filter, which a request may leave out or repeat, not change.

    Args:
        query: of the request: page_size, page_token, sort_by, filter.
        field: of the answer, with the items; absent if there are none, as in the real server's JSON.
        largest: page that is given, whatever is asked for.
    """
    asked = {"sort_by": query.get("sort_by", ""), "filter": unquote_plus(query.get("filter", ""))}
    size = _size(query.get("page_size", ""), largest)
    begin = None
    if token := query.get("page_token"):
        given = _token(token)
        begin = given.pop("begin")
        if any(asked.values()):
            _parsed(asked, field)
            if given != asked:
                raise invalid("page token does not match the supplied sort by and/or filtering criteria")
        asked = given
    (name, backwards), tests = _parsed(asked, field)

    def place(item: Mapping[str, Any]) -> list[Any]:
        found = filters.value(item, name)
        return [found, item[_KEYS[field]]]

    fitting = [each for each in items if all(test(each) for test in tests)]
    fitting.sort(key=place, reverse=backwards)
    answer: dict[str, Any] = {"total_size": len(fitting)} if fitting else {}
    if begin is not None:
        fitting = [each for each in fitting if (place(each) <= begin if backwards else place(each) >= begin)]
    if shown := fitting[:size]:
        answer[field] = shown
    if len(fitting) > size:
        follow = json.dumps({**asked, "begin": place(fitting[size])})
        answer["next_page_token"] = base64.b64encode(follow.encode()).decode()
    return answer


def _parsed(asked: Mapping[str, str], field: str) -> tuple[tuple[str, bool], list[filters.Test]]:
    return _order(asked["sort_by"], FIELDS[field]), filters.parse(asked["filter"], FIELDS[field])


def _size(text: str, largest: int) -> int:
    try:
        size = int(text or 0) if _INTEGER.fullmatch(text or "0") else _INT32
        if not -_INT32 <= size < _INT32:
            raise ValueError(text)
    except ValueError as error:
        raise malformed(f"parsing field page_size: strconv.ParseInt: parsing {text!r}: invalid syntax") from error
    if size < 0:
        raise invalid(f"The page size should be greater than 0. Got {size}")
    return min(size or _DEFAULT, largest)


def _token(text: str) -> dict[str, Any]:
    refused: Refused = invalid("Invalid package token")
    try:
        given = json.loads(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise refused from error
    if not isinstance(given, dict) or set(given) != {"sort_by", "filter", "begin"}:
        raise refused
    return given


def _order(by: str, fields: Mapping[str, str]) -> tuple[str, bool]:
    """Returns the field to sort by, and whether the largest comes first."""
    words = by.lower().split() or ["created_at"]
    if len(words) > 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
        raise invalid(f"Received invalid sort by format {by!r}")
    if words[0] not in fields or words[0] == "tags.":
        raise invalid(f"Invalid sorting field: {words[0]!r}")
    return fields[words[0]], words[-1] == "desc"
