import importlib
import sys
from importlib import metadata

import pytest

from stepkit import code


@pytest.fixture(name="package")
def _package(tmp_path, monkeypatch):
    folder = tmp_path / "made_up"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "deep" / "part.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return folder


def test_a_changed_source_or_version_is_other_code(package, monkeypatch):
    seen = [code.fingerprint("made_up", "stepkit"), code.fingerprint("stepkit")]
    assert code.fingerprint("stepkit", "made_up") == seen[0]
    (package / "deep" / "part.py").write_text("VALUE = 2\n")
    seen.append(code.fingerprint("made_up", "stepkit"))
    (package / "more.py").write_text("")
    seen.append(code.fingerprint("made_up", "stepkit"))
    installed = list(metadata.distributions())
    monkeypatch.setattr(metadata, "distributions", lambda: installed[1:])
    seen.append(code.fingerprint("made_up", "stepkit"))
    assert len(set(seen)) == len(seen)


def test_what_python_makes_of_sources_does_not_count(package):
    before = code.fingerprint("made_up")
    importlib.import_module("made_up.deep.part")
    (package / "notes.txt").write_text("no source")
    assert code.fingerprint("made_up") == before
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_up"]:
        del sys.modules[name]
