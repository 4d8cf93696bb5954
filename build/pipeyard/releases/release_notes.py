"""Release notes: what an upgrade from one release to another changes, as Markdown, from the comparison of both.

They lie in the newer release's folder, by the digest of the older one: `notes/<digest>.md`.
"""

from collections.abc import Callable, Iterable, Iterator

from pipeyard.errors import PipeyardError
from pipeyard.releases import publication, upgrades
from pipeyard.releases.publication import Ledger, Move, Release
from pipeyard.releases.shipments import Shipment
from pipeyard.releases.upgrades import Upgrades
from pipeyard_components.compatibility import Comparison, Severity

_HEADINGS = {
    Severity.BREAKING: "Breaking",
    Severity.BEHAVIOUR: "Behaves otherwise",
    Severity.COMPATIBLE: "Compatible",
}


def refuse_too_small(ledger: Ledger, channels: Iterable[str], shipment: Shipment, stays: Callable[[str], bool]) -> None:
    """Raises PipeyardError if a channel would move to what breaks its users while a version doesn't say so.

    Args:
        stays: True for a commit that a channel isn't moved away from.
    """
    for channel in channels:
        before = publication.named(ledger, channel)
        if before is None or before.commit == shipment.built.commit or stays(before.commit):
            continue
        found = upgrades.between(upgrades.released(ledger, before), upgrades.shipped(shipment))
        if found.refused:
            raise PipeyardError(
                f"What {channel!r} names ({before.commit}) would be broken, and versions don't say so:\n"
                + "\n".join(line for part in found.refused for line in refusal(part, found.compared[part]))
            )


def refusal(part: str, comparison: Comparison) -> Iterator[str]:
    """Yields lines that say why a part's version won't do."""
    yield f"{part}: {comparison.problem}."
    yield from (f"  {each}" for each in comparison.changes if each.severity == Severity.BREAKING)


def write(ledger: Ledger, release: Release, moves: Iterable[Move]) -> list[str]:
    """Writes the notes of what channels moved from to `release`, where there are none yet; returns their paths."""
    found = []
    for commit in dict.fromkeys(each.before for each in moves if each.now == release.commit):
        if not commit or commit == release.commit:
            continue
        before = publication.find(ledger, commit)
        path = release.path(f"notes/{before.digest}.md")
        if ledger.read(path) is None:
            changes = upgrades.between(upgrades.released(ledger, before), upgrades.released(ledger, release))
            ledger.write(path, render(before.commit, release.commit, changes).encode())
        found.append(path)
    return found


def render(before: str, now: str, changes: Upgrades) -> str:
    """Returns release notes.

    Args:
        before, now: commits.
    """
    lines = [f"# From {before[:12]} to {now[:12]}"]
    for severity, heading in _HEADINGS.items():
        sections = [line for part, each in changes.compared.items() for line in _part(part, each, severity)]
        if severity == Severity.BREAKING:
            sections += [f"- **{part}** is gone; versions that were released stay." for part in changes.gone]
        if severity == Severity.COMPATIBLE:
            sections += [f"- **{part}** is new." for part in changes.added]
        if sections:
            lines += ["", f"## {heading}", "", *sections]
    if len(lines) == 1:
        lines += ["", "Nothing that users can see."]
    return "\n".join(lines) + "\n"


def _part(part: str, comparison: Comparison, severity: Severity) -> Iterator[str]:
    changes = [each for each in comparison.changes if each.severity == severity]
    if changes:
        versions = [each for each in dict.fromkeys((comparison.old.version, comparison.new.version)) if each]
        yield f"- **{part}**{' ' if versions else ''}{' to '.join(versions)}"
        yield from (f"    - {each.subject} {each.text}" for each in changes)
