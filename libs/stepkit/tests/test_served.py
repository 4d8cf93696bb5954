import fsspec
import pytest

from stepkit import served
from stepkit.errors import StepError


@pytest.fixture(name="base", params=["local", "memory"])
def fixture_base(request, tmp_path):
    files = fsspec.filesystem("memory")
    yield str(tmp_path / "models") if request.param == "local" else "memory://models"
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def write(base, *names):
    for name in names:
        with fsspec.open(f"{base}/{name}", "wb", auto_mkdir=True) as stream:
            stream.write(b"x")


def test_versions_are_numbers_with_a_saved_model_the_highest_first(base):
    assert not list(served.versions(f"{base}/taxi"))
    write(base, *(f"taxi/{name}/saved_model.pb" for name in ("2", "10", "9", "x", "1a", "\u00b2", ".claims")))
    write(base, "taxi/11/variables/variables.index", "taxi/12")  # one that is still going up, and a file
    assert list(served.versions(f"{base}/taxi")) == [10, 9, 2]
    assert not list(served.versions(f"{base}/taxi/10/saved_model.pb"))
    write(base, "taxi/11/saved_model.pb")
    assert next(served.versions(f"{base}/taxi")) == 11


def test_a_scheme_that_nobody_knows_is_told():
    with pytest.raises(StepError, match="Can't open 'nothing://a'"):
        next(served.versions("nothing://a"))
