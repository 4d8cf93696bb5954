"""Whether a locked package has a known vulnerability, by what OSV (https://osv.dev) knows of packages of PyPI.

API: https://google.github.io/osv.dev/api/: `POST /v1/querybatch` gives ids by package and version, `GET /v1/vulns/ID`
what one is. It takes the network, so it is asked in CI and by hand, not in lint.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from packaging.version import InvalidVersion, Version
from requests.adapters import HTTPAdapter

from pipeyard.errors import PipeyardError
from pipeyard.repository import uv_locks
from pipeyard.system import retries

OSV = "https://api.osv.dev"
# The most that one request may have.
_MOST_QUERIES = 1000
_SECONDS = 20
_AT_ONCE = 8


@dataclass(frozen=True, order=True)
class LockedPackage:
    """A package of PyPI in a version that some lock pins."""

    name: str
    version: str


@dataclass(frozen=True)
class AdvisoryException:
    """An advisory that is let pass.

    Attributes:
        reason: why it does no harm here.
        until: the last day on which that holds unseen.
    """

    id: str
    reason: str
    until: date


@dataclass(frozen=True)
class AdvisoryFinding:
    """A locked package that an advisory is about.

    Attributes:
        ids: of the advisory, and its other names; the first is OSV's.
        fixed: the lowest version above with a fix; empty if none is known.
        locks: folders whose locks have the package.
        exception: what lets it pass, or did until its day; None if there is none.
    """

    package: LockedPackage
    ids: tuple[str, ...]
    summary: str
    fixed: str
    locks: tuple[str, ...]
    exception: AdvisoryException | None = None

    def __str__(self) -> str:
        known = f" ({', '.join(self.ids[1:])})" if len(self.ids) > 1 else ""
        fix = f"Lock {self.fixed} or later" if self.fixed else "No version has a fix"
        late = f" Its exception ended on {self.exception.until}: {self.exception.reason}." if self.exception else ""
        return (
            f"{self.package.name} {self.package.version}: {self.ids[0]}{known}: {self.summary or 'no summary'}. {fix}; "
            f"locked by {', '.join(self.locks)}.{late}"
        )


@dataclass(frozen=True)
class AdvisoryReport:
    """What was found.

    Attributes:
        problem: why it couldn't be looked; empty if it could.
        excepted: what exceptions let pass.
        unused: ids of exceptions that nothing was found for.
    """

    packages: int
    findings: Sequence[AdvisoryFinding] = ()
    excepted: Sequence[AdvisoryFinding] = ()
    unused: Sequence[str] = ()
    problem: str = ""
    exceptions: Mapping[str, AdvisoryException] = field(default_factory=dict)


def check(root: Path, today: date, url: str = OSV) -> AdvisoryReport:
    """Looks up every package that a lock of the repository pins.

    Raises:
        PipeyardError: exceptions in pyproject.toml are none.
    """
    locked = packages(root)
    exceptions = exceptions_of(root)
    try:
        with _session() as session:
            by_package = _ids(session, url, sorted(locked))
            told = _details(session, url, {each for ids in by_package.values() for each in ids})
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{url} can't be asked, or didn't answer as OSV does ({type(error).__name__}: {error})"
        return AdvisoryReport(len(locked), problem=problem, exceptions=exceptions)
    return _report(locked, by_package, told, exceptions, today)


def packages(root: Path) -> dict[LockedPackage, list[str]]:
    """Returns the packages of indexes that locks pin, with the folders of the locks, relative to `root`."""
    found: dict[LockedPackage, list[str]] = {}
    for folder in uv_locks.projects(root):
        path = folder / uv_locks.LOCK
        if not path.is_file():
            continue
        for each in tomllib.loads(path.read_text(encoding="utf-8")).get("package", []):
            if "registry" in each.get("source", {}) and "version" in each:
                name = "the toolchain" if folder == root else folder.relative_to(root).as_posix()
                found.setdefault(LockedPackage(each["name"], each["version"]), []).append(name)
    return found


def exceptions_of(root: Path) -> dict[str, AdvisoryException]:
    """Returns `[tool.pipeyard.advisories]` of pyproject.toml: id to `{reason = "...", until = 2027-01-31}`.

    Raises:
        PipeyardError: an entry has no reason or no day.
    """
    path = root / "pyproject.toml"
    content = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {}
    for name, entry in content.get("tool", {}).get("pipeyard", {}).get("advisories", {}).items():
        reason = entry.get("reason") if isinstance(entry, dict) else None
        until = entry.get("until") if isinstance(entry, dict) else None
        if (
            not (isinstance(reason, str) and reason.strip())
            or not isinstance(until, date)
            or isinstance(until, datetime)
            or len(entry) != 2
        ):
            raise PipeyardError(
                f"{path}: [tool.pipeyard.advisories] {name} isn't an exception. "
                f'Write {name} = {{ reason = "why it does no harm here", until = 2027-01-31 }}.'
            )
        found[name] = AdvisoryException(name, reason.strip().rstrip("."), until)
    return found


def _session() -> requests.Session:
    session = requests.Session()
    adapter = HTTPAdapter(
        max_retries=retries.for_urllib3(retries.ADVISORIES, allowed_methods=None), pool_maxsize=_AT_ONCE
    )
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return session


def _answer(response: requests.Response) -> dict[str, Any]:
    response.raise_for_status()
    answer = response.json()
    if not isinstance(answer, dict):
        raise ValueError("the answer is no object")
    return answer


def _ids(session: requests.Session, url: str, locked: Sequence[LockedPackage]) -> dict[LockedPackage, list[str]]:
    """Returns the ids of advisories by package; of many, OSV tells a page at a time."""
    found: dict[LockedPackage, list[str]] = {}
    waiting = [(package, "") for package in locked]
    while waiting:
        asked, waiting = waiting[:_MOST_QUERIES], waiting[_MOST_QUERIES:]
        queries = [
            {
                "package": {"ecosystem": "PyPI", "name": package.name},
                "version": package.version,
                **({"page_token": page} if page else {}),
            }
            for package, page in asked
        ]
        answer = _answer(session.post(f"{url}/v1/querybatch", json={"queries": queries}, timeout=_SECONDS))
        for (package, _), result in zip(asked, answer["results"], strict=True):
            found.setdefault(package, []).extend(each["id"] for each in result.get("vulns") or [])
            if page := result.get("next_page_token"):
                waiting.append((package, page))
    return found


def _details(session: requests.Session, url: str, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    def one(name: str) -> tuple[str, dict[str, Any]]:
        return name, _answer(session.get(f"{url}/v1/vulns/{quote(name)}", timeout=_SECONDS))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(pool.map(one, sorted(ids)))


def _report(
    locked: Mapping[LockedPackage, Sequence[str]],
    by_package: Mapping[LockedPackage, Sequence[str]],
    told: Mapping[str, Mapping[str, Any]],
    exceptions: Mapping[str, AdvisoryException],
    today: date,
) -> AdvisoryReport:
    findings: list[AdvisoryFinding] = []
    excepted: list[AdvisoryFinding] = []
    used: set[str] = set()
    for package, ids in sorted(by_package.items()):
        for group in _groups([told[each] for each in ids if not told[each].get("withdrawn")]):
            names = _names(group)
            exception = next((exceptions[name] for name in names if name in exceptions), None)
            finding = AdvisoryFinding(
                package,
                names,
                next((str(each["summary"]).strip().rstrip(".") for each in group if each.get("summary")), ""),
                _fixed(package, group),
                tuple(locked[package]),
                exception,
            )
            used.update(name for name in names if name in exceptions)
            (excepted if exception and today <= exception.until else findings).append(finding)
    unused = [name for name in exceptions if name not in used]
    return AdvisoryReport(len(locked), findings, excepted, unused, exceptions=exceptions)


def _groups(told: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Returns advisories that are one, as different databases have them, together."""
    groups: list[list[Mapping[str, Any]]] = []
    for each in told:
        names = set(_names([each]))
        same = [group for group in groups if names & set(_names(group))]
        groups = [group for group in groups if group not in same]
        groups.append([*(one for group in same for one in group), each])
    return groups


def _names(group: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    own = [str(each["id"]) for each in group]
    return tuple(dict.fromkeys([*own, *(str(name) for each in group for name in each.get("aliases") or [])]))


def _fixed(package: LockedPackage, group: Sequence[Mapping[str, Any]]) -> str:
    """Returns the lowest version above the locked one that some range of an advisory ends with."""
    versions = [
        event["fixed"]
        for each in group
        for affected in each.get("affected") or []
        if affected.get("package", {}).get("name", "").lower() == package.name
        for span in affected.get("ranges") or []
        if span.get("type") != "GIT"
        for event in span.get("events") or []
        if "fixed" in event
    ]
    try:
        return str(min((Version(each) for each in versions if Version(each) > Version(package.version)), default=""))
    except InvalidVersion:
        return ", ".join(sorted(set(versions)))
