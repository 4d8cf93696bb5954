"""Lists that come in pages."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from pipeyard.servers.kubeflow.connection import Server, ServerError

SIZE = 100


def all_of(
    server: Server, what: str, call: Callable[..., Any], field: str, *arguments: Any, **options: Any
) -> Iterator[Any]:
    """Yields what a list has, page by page.

    Args:
        what: for messages, as in "listing versions".
        call: a method of a generated client that lists.
        field: of the answer, with the page's items.

    Raises:
        ServerError: the server can't be reached, refuses, or gives the same page again and again.
    """
    token = ""
    seen = set()
    while True:
        page = server.ask(what, call, *arguments, page_size=SIZE, page_token=token, **options)
        yield from getattr(page, field) or []
        token = page.next_page_token
        if not token:
            return
        if token in seen:
            raise ServerError(f"Kubeflow Pipelines at {server.host}: {what} gives one page over and over.")
        seen.add(token)


def named(name: str) -> str:
    """Returns the filter for things that are called `name`."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
