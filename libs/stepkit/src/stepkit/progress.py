"""Progress on a terminal; silence elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(what: str, total: int | None = None, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """Shows a progress bar on stderr if that is a terminal.

    Yields:
        A function to call with how much was done since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich import progress  # pylint: disable=import-outside-toplevel
    from rich.console import Console  # pylint: disable=import-outside-toplevel

    columns = [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,.0f} " + unit),
        progress.TimeElapsedColumn(),
    ]
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.advance(task, done)
