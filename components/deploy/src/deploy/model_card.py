"""The model card: what is known of a model, for those who use it or answer for it.

M. Mitchell et al., Model Cards for Model Reporting, 2019 (https://arxiv.org/abs/1810.03993). Its JSON has the fields of
the Model Card Toolkit's model_card.schema.json v0.0.2, which lets the objects inside have more: lineage, task,
statistics, gaps and importance are such. What isn't known is left out and named in `not_known`; nothing is made up.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploy import card_declaration
from stepkit.errors import StepError, near_misses
from stepkit.model_description import ModelDescription

SCHEMA_VERSION = "0.0.2"
# What evaluate's metrics have beside those of the whole split.
ANALYSIS = "analysis"
_LINEAGE = ("commit", "images")


@dataclass(frozen=True)
class Known:
    """What a card is made of.

    Attributes:
        lineage: run, digests, commit and images, as far as they are known.
        declared: see `card_declaration`.
        description: what the model says of itself; None: nothing.
        datasets, statistics: see `card_data`.
        metrics: evaluate's file.
        operating_point: evaluate's output; {}: none.
    """

    name: str
    lineage: Mapping[str, Any]
    declared: Mapping[str, Any]
    description: ModelDescription | None
    datasets: list[dict[str, Any]]
    statistics: Mapping[str, Any]
    metrics: Mapping[str, Any]
    operating_point: Mapping[str, Any]


def check_lineage(value: Mapping[str, Any]) -> None:
    """Raises StepError if `--lineage` has an unknown key, or no texts."""
    for key in value:
        if key not in _LINEAGE:
            raise StepError(f"--lineage has an unknown key {key!r}. {near_misses(str(key), _LINEAGE)}")
    if not isinstance(value.get("commit", ""), str):
        raise StepError(f"--lineage: commit is {value['commit']!r}. Give a commit's name as text.")
    images = value.get("images", {})
    if not isinstance(images, dict) or not all(isinstance(image, str) for image in images.values()):
        raise StepError(
            f'--lineage: images is {images!r}. Give an object such as {{"train": "registry/train@sha256:..."}}.'
        )


def compose(known: Known) -> dict[str, Any]:
    """Returns the card, ready to be written as JSON."""
    details, considerations = card_declaration.sections(known.declared)
    analysis = known.metrics.get(ANALYSIS)
    analysis = analysis if isinstance(analysis, dict) else {}
    quantitative: dict[str, Any] = {"performance_metrics": list(_performance(known.metrics, analysis))}
    for key, name in (("split", "split"), ("gaps", "slice_gaps"), ("importance", "permutation_importance")):
        if analysis.get(key):
            quantitative[name] = analysis[key]
    if known.operating_point:
        quantitative["operating_point"] = dict(known.operating_point)
    card = {
        "schema_version": SCHEMA_VERSION,
        "model_details": {"name": known.name, **details, "lineage": {k: v for k, v in known.lineage.items() if v}},
        "model_parameters": {"data": known.datasets, **_parameters(known)},
        "quantitative_analysis": quantitative,
        "considerations": considerations,
    }
    card["model_details"]["not_known"] = _not_known(known, analysis)  # type: ignore[index]
    return card


def says_the_same(one: bytes, other: bytes) -> bool:
    """True if two cards' JSON differ by nothing but where the model is from; False if one can't be read."""
    try:
        cards = [json.loads(one), json.loads(other)]
        for card in cards:
            del card["model_details"]["lineage"]
    except (ValueError, TypeError, KeyError):
        return False
    return cards[0] == cards[1]


def _parameters(known: Known) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "columns" in known.statistics:
        found["statistics"] = dict(known.statistics)
    said = known.description
    if said is None:
        return found
    columns = ", ".join(f"{name} ({kind})" for name, kind in said.raw_types.items())
    found |= {"task": said.task, "label": said.label}
    found["input_format"] = f"Raw columns: {columns}" if columns else "Serialized tf.Examples of raw columns"
    found["output_format"] = said.answer
    if said.classes:
        found["classes"] = list(said.classes)
        found["output_format"] += f" of {', '.join(map(str, said.classes))}"
    if said.weight:
        found["weight"] = said.weight
    renamed = {name: argument for name, argument in said.arguments.items() if name != argument}
    if renamed:
        found["arguments"] = renamed
    return found


def _performance(metrics: Mapping[str, Any], analysis: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the schema's `performance_metrics`: those of the whole split have no slice."""
    of_slices = analysis.get("slices") or [{"slice": "overall", "metrics": metrics}]
    for number, each in enumerate(of_slices):
        for name, value in each["metrics"].items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            found: dict[str, Any] = {"type": name, "value": value}
            if number:
                found["slice"] = each["slice"]
            if interval := each.get("intervals", {}).get(name):
                found["confidence_interval"] = {
                    "lower_bound": interval["lower"],
                    "upper_bound": interval["upper"],
                }
            yield found


def _not_known(known: Known, analysis: Mapping[str, Any]) -> list[str]:
    """Says what a reader would look for and isn't there, and what would have told it."""
    lacking = [key for key in card_declaration.EXPECTED if key not in known.declared]
    found = [f"{', '.join(lacking)}: not declared in the module's {card_declaration.NAME}"] if lacking else []
    if known.description is None:
        found.append("task, classes and columns: the model doesn't describe itself")
    if not known.lineage.get("run_id"):
        found.append("run: no run_id was given")
    if not known.lineage.get("commit"):
        found.append("commit: the run's record or the pipeline's version has it; no --lineage has told it")
    images = known.lineage.get("images", {})
    if not images:
        found.append("component images: no --lineage has told them")
    elif by_tag := [name for name, image in images.items() if "@" not in image]:
        found.append(f"content of the images of {', '.join(sorted(by_tag))}: they are named by a tag, not by a digest")
    if problem := known.statistics.get("problem"):
        found.append(f"statistics: {problem}")
    if len(analysis.get("slices", [])) < 2:
        found.append("metrics by slice: evaluate was given no slices")
    if not any(each.get("intervals") for each in analysis.get("slices", [])):
        found.append("confidence intervals: evaluate was not asked for them")
    if not analysis.get("importance"):
        found.append("importance of columns: evaluate was not asked for it (importance_rows)")
    return found
