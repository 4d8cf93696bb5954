"""A metric of two versions from labels that come later, joined with the logged answers by request id.

The metric is a mean over requests of something that is better the higher it is: 1 for a right class, the tip that was
paid, a negative error. Requests of one key (a user, say) depend on each other, so keys are drawn, not requests (the
cluster bootstrap: A. C. Cameron, J. B. Gelbach, D. L. Miller, "Bootstrap-based improvements for inference with
clustered errors", Review of Economics and Statistics 90 (2008)). Keys share a number of groups, by their digests, which
are drawn in their place: the work doesn't grow with the keys.

Looks are few: each when the joined requests have doubled, the k-th with alpha / (k (k + 1)), which sums up to alpha.
"""

import random
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GROUPS = 200
DRAWS = 1000
FIRST_LOOK = 200  # joined requests of the version that has fewer


@dataclass(frozen=True)
class Answer:
    """A logged answer.

    Attributes:
        key: what stays with one version, e.g. a user; the request's id where there is none.
        prediction: what the version answered.
    """

    request_id: str
    version: int
    prediction: Any
    key: str = ""


@dataclass(frozen=True)
class Scored:
    """An answer whose label is known.

    Attributes:
        value: higher is better.
    """

    request_id: str
    version: int
    key: str
    value: float


@dataclass(frozen=True)
class Comparison:
    """The candidate's metric less the stable version's.

    Attributes:
        stable, candidate: the metric of each.
        low, high: an interval of the difference.
        requests: joined ones of the version that has fewer; in shadow mode pairs.
        look: its number, from 1.
        paired: both answered the same requests.
    """

    stable: float
    candidate: float
    low: float
    high: float
    requests: int
    look: int = 1
    paired: bool = False

    @property
    def difference(self) -> float:
        """Candidate less stable."""
        return self.candidate - self.stable


def join(answers: Iterable[Answer], labels: Mapping[str, Any], value: Callable[[Any, Any], float]) -> list[Scored]:
    """Returns the answers whose label is known, each once a version.

    Args:
        labels: by request id.
        value: of a label and a prediction; higher is better.
    """
    found: dict[tuple[str, int], Scored] = {}
    for each in answers:
        if each.request_id in labels:
            worth = float(value(labels[each.request_id], each.prediction))
            key = each.key or each.request_id
            found[each.request_id, each.version] = Scored(each.request_id, each.version, key, worth)
    return list(found.values())


def looks(requests: int, first: int = FIRST_LOOK) -> int:
    """Returns how many looks there have been when this many requests are joined."""
    return (requests // first).bit_length()


def alpha_of(look: int, alpha: float) -> float:
    """Returns the share of alpha that a look spends."""
    return alpha / (look * (look + 1))


def compare(
    scored: Sequence[Scored], stable: int, candidate: int, *, alpha: float, look: int, paired: bool, seed: int = 0
) -> Comparison | None:
    """Returns the comparison of two versions; None if there is nothing of one of them.

    Args:
        alpha: the interval misses the difference with this probability, half of it on each side.
        look: its number, for the record.
        paired: shadow mode: of requests that both answered, the differences are drawn.
    """
    first = {each.request_id: each for each in scored if each.version == stable}
    second = {each.request_id: each for each in scored if each.version == candidate}
    if paired:
        both = first.keys() & second.keys()
        first, second = ({name: side[name] for name in both} for side in (first, second))
    if not first or not second:
        return None
    groups = [(0, 0.0, 0, 0.0)] * GROUPS
    for side, place in ((first, 0), (second, 2)):
        for each in side.values():
            number = zlib.crc32(each.key.encode()) % GROUPS
            group = list(groups[number])
            group[place] += 1
            group[place + 1] += each.value
            groups[number] = (int(group[0]), group[1], int(group[2]), group[3])
    filled = [group for group in groups if group[0] or group[2]]
    draws = sorted(_drawn(filled, random.Random(seed)))
    outside = int(len(draws) * alpha / 2)
    if not draws:
        return None
    low, high = draws[outside], draws[-1 - outside]
    means = [sum(each.value for each in side.values()) / len(side) for side in (first, second)]
    return Comparison(means[0], means[1], low, high, min(len(first), len(second)), look, paired)


def _drawn(groups: Sequence[tuple[int, float, int, float]], source: random.Random) -> list[float]:
    found = []
    for _ in range(DRAWS):
        n1, sum1, n2, sum2 = map(sum, zip(*source.choices(groups, k=len(groups)), strict=True))
        if n1 and n2:
            found.append(sum2 / n2 - sum1 / n1)
    return found
