"""Shows a run's report in a browser."""

import webbrowser
from collections.abc import Callable
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.runs import record


def open_report(folder: Path, opener: Callable[[str], bool] = webbrowser.open) -> Path:
    """Opens a run's report in a browser, and writes it first if it isn't there.

    Args:
        opener: is given the page's URL; returns False if it knows no browser.

    Returns:
        Where the page is.

    Raises:
        PipeyardError: no browser could be started, or the folder holds no run.
    """
    from pipeyard.runs import report

    record.load(folder)
    page = folder / "report.html"
    if not page.is_file():
        page = report.render(folder)
    if not opener(page.resolve().as_uri()):
        raise PipeyardError(f"No browser could be started. Open this file in one: {page.resolve()}")
    return page
