"""What all unit tests share."""

from collections.abc import Iterator

import pytest

from pipeyard.images import commits


@pytest.fixture(autouse=True, scope="session")
def no_commit_of_ci() -> Iterator[None]:
    """Tests make repositories of their own, whose commits aren't the one that CI builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(commits.VARIABLE, raising=False)
        yield
