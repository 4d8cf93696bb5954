"""Pages, filters and order of lists."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .refusals import invalid

_DEFAULT = 20
LARGEST = 200
_EQUALS = ("EQUALS", 1)  # an enumeration's values go by name or number
_FIELDS = ("display_name", "name", "storage_state", "created_at")


def page(items: Sequence[dict], query: Mapping[str, str], field: str, largest: int = LARGEST) -> dict[str, Any]:
    """Returns a page of what fits the filter, in order.

    As on the real server (backend/src/apiserver/list), a token names the item that the next page begins with and not
    its number, so that what is removed meanwhile makes no page leave others out.

    Args:
        query: of the request: page_size, page_token, sort_by, filter.
        field: of the answer, with the items; absent if there are none, as in the real server's JSON.
        largest: page that is given, whatever is asked for.
    """
    asked = {"sort_by": query.get("sort_by", ""), "filter": query.get("filter", "")}
    key = re.sub("([A-Z])", r"_\1", field.removesuffix("s")).lower() + "_id"
    begin = None
    if token := query.get("page_token"):
        try:
            given = json.loads(base64.urlsafe_b64decode(token))
            begin = given.pop("begin")
        except (ValueError, KeyError) as error:
            raise invalid("the page token isn't one") from error
        if given != asked:
            raise invalid("the page token is of another list")
    size = int(query.get("page_size") or _DEFAULT)
    if size < 0:
        raise invalid("the page size is below 0")
    size = min(size or _DEFAULT, largest)
    name, backwards = _order(asked["sort_by"])

    def place(item: Mapping[str, Any]) -> list[str]:
        return [item.get(name, ""), item[key]]

    fitting = sorted((each for each in items if _fits(each, asked["filter"])), key=place, reverse=backwards)
    answer: dict[str, Any] = {"total_size": len(fitting)}
    if begin is not None:
        fitting = [each for each in fitting if (place(each) <= begin if backwards else place(each) >= begin)]
    if shown := fitting[:size]:
        answer[field] = shown
    if len(fitting) > size:
        follow = json.dumps({**asked, "begin": place(fitting[size])})
        answer["next_page_token"] = base64.urlsafe_b64encode(follow.encode()).decode()
    return answer


def _fits(item: Mapping[str, Any], text: str) -> bool:
    if not text:
        return True
    try:
        predicates = json.loads(text)["predicates"]
        checks = [(each["operation"], each["key"], each["stringValue"]) for each in predicates]
    except (ValueError, KeyError, TypeError) as error:
        raise invalid(f"the filter isn't one: {text}") from error
    for operation, key, value in checks:
        if operation not in _EQUALS or key not in _FIELDS:
            raise invalid(f"no filter {operation} for {key}")
        if item.get(key) != value:
            return False
    return True


def _order(by: str) -> tuple[str, bool]:
    """Returns the field to sort by, and whether the largest comes first."""
    name, _, direction = (by or "created_at asc").partition(" ")
    if name not in _FIELDS or direction not in ("", "asc", "desc"):
        raise invalid(f"no order {by}")
    return name, direction == "desc"
