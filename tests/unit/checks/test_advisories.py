"""Locked packages that have known vulnerabilities, and exceptions from them."""

import json
import sys
from datetime import date
from pathlib import Path

import pytest
from servers.osv import OsvServer

from pipeyard import cli
from pipeyard.checks import advisories
from pipeyard.errors import PipeyardError
from pipeyard.repository import project, uv_locks

TODAY = date(2026, 11, 30)


def _advisory(name: str, package: str, versions: list[str], fixed: list[str], **more) -> dict:
    events = [{"introduced": "0"}, *({"fixed": each} for each in fixed)]
    git = {"type": "GIT", "repo": "https://host.test/x", "events": [{"introduced": "0"}, {"fixed": "9a" * 20}]}
    affected = {
        "package": {"ecosystem": "PyPI", "name": package, "purl": f"pkg:pypi/{package}"},
        "ranges": [git, {"type": "ECOSYSTEM", "events": events}],
        "versions": versions,
    }
    return {"id": name, "modified": "2024-01-01T00:00:00Z", "affected": [affected], **more}


PICKLE = _advisory(
    "GHSA-aaaa",
    "arrows",
    ["9.0", "10.0.1"],
    ["14.0.1"],
    aliases=["CVE-2023-1", "PYSEC-2023-1"],
    summary="Runs pickles.",
)
SAME = _advisory("PYSEC-2023-1", "arrows", ["10.0.1"], ["14.0.1"], aliases=["CVE-2023-1", "GHSA-aaaa"])
OPEN = _advisory("GHSA-bbbb", "leaky", ["2.0"], [], summary="Leaks")
TWICE = _advisory("GHSA-cccc", "arrows", ["10.0.1"], ["9.5", "11.0", "10.10"], summary="Two lines of versions")
WITHDRAWN = _advisory("GHSA-dddd", "fine", ["1.0"], ["1.1"], withdrawn="2024-01-01T00:00:00Z")


@pytest.fixture
def osv():
    server = OsvServer(PICKLE, SAME, OPEN, WITHDRAWN)
    yield server
    server.close()


@pytest.fixture
def root(tmp_path) -> Path:
    def lock(folder: str, *packages: str) -> None:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
        listed = [each.split("==") for each in packages]
        text = "".join(
            f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "." }}\n'
            for name, version in listed
        )
        own = '[[package]]\nname = "leaky"\nversion = "2.0"\nsource = { editable = "." }\n'
        (tmp_path / folder / "uv.lock").write_text(f"version = 1\n{text}{own}", encoding="utf-8")

    lock("", "fine==1.0")
    lock("components/one", "arrows==10.0.1", "fine==1.0")
    lock("components/two", "arrows==10.0.1")
    lock("libs/kit", "fine==1.0")
    return tmp_path


def _except(root: Path, text: str) -> None:
    (root / "pyproject.toml").write_text(f"[tool.pipeyard.advisories]\n{text}\n", encoding="utf-8")


def test_a_locked_package_is_told_with_what_is_known_and_what_fixes_it(root, osv):
    report = advisories.check(root, TODAY, osv.url)
    assert (report.packages, report.problem, list(report.excepted)) == (2, "", [])
    (found,) = report.findings  # by both of its databases once; what is editable is nobody's of PyPI; withdrawn is none
    assert str(found) == (
        "arrows 10.0.1: GHSA-aaaa (PYSEC-2023-1, CVE-2023-1): Runs pickles. Lock 14.0.1 or later; "
        "locked by components/one, components/two."
    )


def test_the_nearest_fix_above_is_told_and_that_there_is_none(root, osv):
    osv.advisories |= {"GHSA-cccc": TWICE, "GHSA-eeee": _advisory("GHSA-eeee", "arrows", ["10.0.1"], ["9.5"])}
    fixes = {each.ids[0]: each.fixed for each in advisories.check(root, TODAY, osv.url).findings}
    assert fixes == {"GHSA-aaaa": "14.0.1", "GHSA-cccc": "10.10", "GHSA-eeee": ""}
    assert "No version has a fix" in str(advisories.check(root, TODAY, osv.url).findings[-1])


@pytest.mark.parametrize("name", ["GHSA-aaaa", "CVE-2023-1", "PYSEC-2023-1"])
def test_an_exception_by_any_of_its_names_lets_it_pass_until_its_day(root, osv, name):
    _except(root, f"{name} = {{ reason = 'No pickle gets there.', until = 2026-11-30 }}")
    report = advisories.check(root, TODAY, osv.url)
    assert (list(report.findings), [each.ids[0] for each in report.excepted]) == ([], ["GHSA-aaaa"])
    (late,) = advisories.check(root, date(2026, 12, 1), osv.url).findings
    assert str(late).endswith(" Its exception ended on 2026-11-30: No pickle gets there.")


def test_an_exception_for_nothing_is_told(root, osv):
    _except(root, "GHSA-zzzz = { reason = 'gone', until = 2027-01-01 }")
    assert advisories.check(root, TODAY, osv.url).unused == ["GHSA-zzzz"]


@pytest.mark.parametrize(
    "entry",
    [
        "'a reason'",
        "{ reason = 'r' }",
        "{ until = 2027-01-01 }",
        "{ reason = ' ', until = 2027-01-01 }",
        "{ reason = 'r', until = '2027-01-01' }",
        "{ reason = 'r', until = 2027-01-01T00:00:00Z }",
        "{ reason = 'r', until = 2027-01-01, x = 1 }",
    ],
)
def test_an_exception_without_reason_or_day_is_refused(root, entry):
    _except(root, f"GHSA-aaaa = {entry}")
    with pytest.raises(PipeyardError, match="GHSA-aaaa isn't an exception. Write GHSA-aaaa = { reason = "):
        advisories.exceptions_of(root)


def test_many_packages_and_many_advisories_come_in_parts(root, osv, monkeypatch):
    monkeypatch.setattr(advisories, "_MOST_QUERIES", 1)
    osv.page = 1
    assert [each.ids[0] for each in advisories.check(root, TODAY, osv.url).findings] == ["GHSA-aaaa"]
    assert [len(batch) for batch in osv.batches] == [1, 1, 1]  # arrows, fine, the second page of arrows


def test_a_passing_fault_is_overcome(root, osv):
    osv.faults = [503]
    assert advisories.check(root, TODAY, osv.url).problem == ""


@pytest.mark.parametrize("what", ["a fault", "gone", "something else"])
def test_that_it_cannot_be_looked_is_told(root, osv, what):
    if what == "a fault":
        osv.faults = [500] * 9
    elif what == "gone":
        osv.close()
    else:
        osv.result = lambda _: []
    report = advisories.check(root, TODAY, osv.url)
    assert report.problem.startswith(f"{osv.url} can't be asked, or didn't answer as OSV does (")
    assert (report.packages, list(report.findings)) == (2, [])


def _run(root, monkeypatch, capsys, url, *options):
    monkeypatch.setenv("PIPEYARD_OSV_URL", url)
    (root / "pipelines").mkdir(exist_ok=True)
    monkeypatch.setattr(sys, "argv", ["pipeyard", "check", "--advisories", *options, "--project", str(root)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code or 0, *capsys.readouterr()


def test_the_command_fails_for_what_is_found_and_warns_if_it_cannot_look(root, osv, monkeypatch, capsys):
    code, out, _ = _run(root, monkeypatch, capsys, osv.url)
    assert code == 1
    assert "arrows 10.0.1: GHSA-aaaa" in out
    assert "2 locked packages: 1 advisory." in out
    assert "[tool.pipeyard.advisories]" in out
    code, out, _ = _run(root, monkeypatch, capsys, osv.url, "--json")
    told = json.loads(out)
    assert (code, told["looked"], told["findings"][0]["ids"][0]) == (1, True, "GHSA-aaaa")
    osv.close()
    code, out, err = _run(root, monkeypatch, capsys, osv.url)
    assert (code, out) == (0, "")
    assert "warning: advisories weren't looked up, so this says nothing of them: " in err
    code, out, _ = _run(root, monkeypatch, capsys, osv.url, "--json")
    assert (code, json.loads(out)["looked"]) == (0, False)


def test_what_is_let_pass_is_told(root, osv, monkeypatch, capsys):
    _except(root, "CVE-2023-1 = { reason = 'No pickle gets there.', until = 2999-01-01 }")
    code, out, err = _run(root, monkeypatch, capsys, osv.url)
    assert (code, out) == (0, "2 locked packages: no advisories.\n")
    assert "let pass: arrows 10.0.1: GHSA-aaaa: No pickle gets there, until 2999-01-01." in err


def test_it_is_asked_for_alone(root, monkeypatch, capsys):
    code, _, err = _run(root, monkeypatch, capsys, "http://127.0.0.1:1", "one")
    assert (code, "give it alone" in err) == (2, True)


def test_every_lock_of_this_repository_is_looked_at():
    here = project.find(Path(__file__)).root
    folders = {folder for each in advisories.packages(here).values() for folder in each}
    expected = {path.relative_to(here).as_posix() for path in uv_locks.projects(here) if (path / "uv.lock").is_file()}
    assert folders == {"the toolchain" if each == "." else each for each in expected}
    assert {"components/extract", "components/data_validation", "the toolchain"} <= folders
    advisories.exceptions_of(here)
