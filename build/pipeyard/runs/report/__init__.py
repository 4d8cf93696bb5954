"""The page that tells what a run did: `report.html`, one file that needs no network.

What reads records is in `runs`, and light to import; `page` needs jinja2.
"""

from pathlib import Path


def render(folder: Path) -> Path:
    """Writes the report of a run into its folder, aside and then renamed.

    Args:
        folder: a run's folder, with its `run.json`.

    Returns:
        Where the page is.

    Raises:
        PipeyardError: the folder holds no readable run record.
    """
    from pipeyard.runs.report import page

    return page.write(folder)
