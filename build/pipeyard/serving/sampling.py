"""What of the requests and answers is kept: arguments of model servers, and what of them doesn't fit the models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from stepkit import model_description
from stepkit.errors import StepError


@dataclass(frozen=True)
class LiveSampling:
    """How requests are sampled.

    Attributes:
        rate: share of the requests, 0 to 1; 0: none.
        without: raw columns that are never written.
        days: after so many, samples are removed.
        megabytes: of a model's samples; beyond, the oldest are removed.
    """

    rate: float = 0.0
    without: tuple[str, ...] = ()
    days: float = 30.0
    megabytes: int = 1000


def arguments(sampling: LiveSampling, folder: ServingFolder, version: ServedVersion) -> list[str]:
    """Returns arguments of a version's model server.

    A column to leave out that this version hasn't isn't named: the model server would refuse it as misspelt.
    """
    if not sampling.rate:
        return []
    known = _columns(folder.version(version))
    return [
        *("--log-requests", str(folder.samples(version.model)), "--log-rate", f"{sampling.rate:g}"),
        *("--log-days", f"{sampling.days:g}", "--log-megabytes", str(sampling.megabytes)),
        *(part for name in sampling.without if name in (known or [name]) for part in ("--log-without", name)),
    ]


def check(without: Sequence[str], folder: ServingFolder, models: Iterable[str]) -> None:
    """Checks that each column that is to be left out is one of a pushed model: a typo would have it written.

    Raises:
        PipeyardError: names the column, and near misses.
    """
    found = [_columns(folder.model(model) / str(number)) for model in models for number in folder.versions(model)]
    known = sorted({name for columns in found for name in columns or ()})
    if None in found or not found:
        return  # a model that doesn't tell its columns: its server checks them
    for name in without:
        if name not in known:
            raise PipeyardError(
                f"--sample-without {name!r} is no column of a model in {folder.path}. {near_misses(name, known)}"
            )


def _columns(version: Path) -> list[str] | None:
    try:
        found = model_description.read(version)
    except (StepError, OSError):  # the model server says so
        return None
    return sorted(found.raw_types) if found else None
