"""What several folders of tests share."""

import os
import shutil
from collections.abc import Iterator

import pytest

# What keeps Chromium from asking for anything but the page.
QUIET_CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Debian's Chromium, driven by Playwright. Without it: skipped on a laptop, failed in CI, which installs it."""
    path = shutil.which("chromium")
    if not path:
        missing = "no Chromium on PATH; install it (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=QUIET_CHROMIUM)
        yield started
        started.close()
