"""What `--metrics-config` says: metrics by name, or with parameters, and how results call each of them.

An entry is a class name, or an object:

    class_name   of TFMA, Keras 2, or `own_metrics`
    config       parameters of that class
    name         how results call it; the class name without it
    aggregate    `macro`, `micro` or `weighted` over classes: `_macro` and so on is added to the name
    per_class    true: of each class by itself as well, its name added to the entry's: `F1Score_setosa`
    top_k        numbers; only the k highest scores of a row count: `_at_3` is added to the name
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluate.problem import Problem
from stepkit import tasks
from stepkit.errors import StepError, near_misses

AGGREGATES = ("macro", "micro", "weighted")
_KEYS = ("class_name", "config", "name", "aggregate", "per_class", "top_k")
# Those of `evaluate.own_metrics` that are of the class with the highest score; that module is heavy to import.
OF_CLASSES = ("MulticlassF1Score", "MulticlassPrecision", "MulticlassRecall")

DEFAULTS: Mapping[str, Sequence[Any]] = {
    tasks.BINARY: ("AUC", "BinaryAccuracy", "BinaryCrossentropy", "Precision", "Recall", "ExampleCount"),
    tasks.MULTICLASS: (
        "SparseCategoricalAccuracy",
        "SparseCategoricalCrossentropy",
        {"class_name": "MulticlassF1Score", "aggregate": "macro"},
        {"class_name": "AUC", "aggregate": "macro"},
        "ExampleCount",
    ),
    tasks.MULTILABEL: (
        {"class_name": "F1Score", "aggregate": "macro"},
        {"class_name": "F1Score", "aggregate": "micro"},
        {"class_name": "AUC", "aggregate": "macro"},
        "BinaryAccuracy",
        "BinaryCrossentropy",
        "ExampleCount",
    ),
    tasks.REGRESSION: ("RootMeanSquaredError", "MeanAbsoluteError", "R2Score", "MeanPrediction", "ExampleCount"),
}


@dataclass(frozen=True)
class Entry:
    """One entry of `--metrics-config`; see this module."""

    class_name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    aggregate: str = ""
    per_class: bool = False
    top_k: tuple[int, ...] = ()

    @property
    def is_plain(self) -> bool:
        """True if it is a class name alone."""
        return not (self.config or self.name or self.aggregate or self.per_class or self.top_k)


@dataclass(frozen=True)
class Metric:
    """One number, or plot, that is computed.

    Attributes:
        shown: how results and thresholds call it.
        config: JSON of its parameters, without the name.
        aggregate: over classes; empty: not.
        class_id: position of the class that it is of; None: of all.
        top_k: how many of the highest scores count; None: all.
        is_plain: True if it is computed under TFMA's own name of it.
    """

    shown: str
    class_name: str
    config: str = "{}"
    aggregate: str = ""
    class_id: int | None = None
    top_k: int | None = None
    is_plain: bool = True


def parse(spec: Sequence[Any]) -> list[Entry]:
    """Reads `--metrics-config`, without repetitions.

    Raises:
        StepError: an entry is neither a name nor an object with what this module lists; says which.
    """
    found = []
    for item in spec:
        entry = _of_object(item) if isinstance(item, Mapping) else Entry(item)
        if not isinstance(entry.class_name, str) or not entry.class_name:
            raise StepError(
                f'--metrics-config must hold metric class names such as "AUC", or objects with a "class_name", not '
                f"{item!r}."
            )
        if entry not in found:
            found.append(entry)
    return found


def _of_object(item: Mapping[str, Any]) -> Entry:
    for key in item:
        if key not in _KEYS:
            raise StepError(f"--metrics-config has an unknown key {key!r} in {dict(item)!r}. {near_misses(key, _KEYS)}")
    what = f"--metrics-config: in {dict(item)!r}"
    config, name, aggregate = item.get("config", {}), item.get("name", ""), item.get("aggregate", "")
    per_class, top_k = item.get("per_class", False), item.get("top_k", [])
    if not isinstance(config, Mapping):
        raise StepError(f'{what}, config must be an object of parameters such as {{"recall": 0.8}}, not {config!r}.')
    if not isinstance(name, str) or name.startswith("_"):
        raise StepError(f"{what}, name must be text that doesn't start with an underscore, not {name!r}.")
    if aggregate and aggregate not in AGGREGATES:
        raise StepError(f"{what}, aggregate is {aggregate!r}. {near_misses(str(aggregate), AGGREGATES)}")
    if not isinstance(per_class, bool):
        raise StepError(f"{what}, per_class must be true or false, not {per_class!r}.")
    numbers = top_k if isinstance(top_k, list) else [top_k]
    if any(isinstance(each, bool) or not isinstance(each, int) or each < 1 for each in numbers):
        raise StepError(f"{what}, top_k must be numbers of classes such as [1, 3], not {top_k!r}.")
    if "name" in config:
        raise StepError(f"{what}, the name is in config. Put it beside class_name.")
    return Entry(item.get("class_name", ""), dict(config), name, aggregate, per_class, tuple(dict.fromkeys(numbers)))


def expand(entries: Sequence[Entry], problem: Problem) -> list[Metric]:
    """Returns all that is computed for a problem, under distinct names.

    Raises:
        StepError: an entry wants classes where there are none, or two would have the same name.
    """
    found: dict[str, Metric] = {}
    for entry in entries:
        for metric in _of_entry(entry, problem):
            if metric.shown in found:
                raise StepError(
                    f"--metrics-config: two metrics would be called {metric.shown!r}. Tell them apart by a name: "
                    f'{{"class_name": "{entry.class_name}", "name": "...", ...}}.'
                )
            found[metric.shown] = metric
    return list(found.values())


def _of_entry(entry: Entry, problem: Problem) -> Iterator[Metric]:
    base = entry.name or entry.class_name
    if entry.is_plain and entry.class_name not in OF_CLASSES:
        yield Metric(base, entry.class_name)
        return
    if not problem.has_many_outputs:
        for key in ("aggregate", "per_class", "top_k"):
            if getattr(entry, key):
                raise StepError(
                    f"--metrics-config: {key} of {base} is for models of many classes; this one is {problem.task}. "
                    f"Leave it out."
                )
    for number in entry.top_k:
        if number > problem.outputs:
            raise StepError(f"--metrics-config: top_k of {base} is {number}; there are {problem.outputs} classes.")
    if entry.class_name in OF_CLASSES:
        yield from _of_predicted_classes(entry, base, problem)
        return
    config = json.dumps(dict(entry.config), sort_keys=True)
    suffix = f"_{entry.aggregate}" if entry.aggregate else ""
    if entry.top_k:
        for number in entry.top_k:
            yield Metric(f"{base}{suffix}_at_{number}", entry.class_name, config, entry.aggregate, None, number, False)
    elif entry.aggregate or not entry.per_class:
        yield Metric(f"{base}{suffix}", entry.class_name, config, entry.aggregate, is_plain=False)
    if entry.per_class:
        for number, name in enumerate(problem.class_names):
            yield Metric(f"{base}_{name}", entry.class_name, config, class_id=number, is_plain=False)


def _of_predicted_classes(entry: Entry, base: str, problem: Problem) -> Iterator[Metric]:
    """Ours do the averaging themselves."""
    if entry.top_k:
        raise StepError(f"--metrics-config: {base} is of the class with the highest score. Leave top_k out.")
    if entry.config:
        raise StepError(f"--metrics-config: {entry.class_name} has no parameters but aggregate and per_class.")
    if entry.aggregate or not entry.per_class:
        config = json.dumps({"average": entry.aggregate or "macro"})
        suffix = f"_{entry.aggregate}" if entry.aggregate else ""
        yield Metric(f"{base}{suffix}", entry.class_name, config, is_plain=False)
    if entry.per_class:
        for number, name in enumerate(problem.class_names):
            config = json.dumps({"class_id": number})
            yield Metric(f"{base}_{name}", entry.class_name, config, is_plain=False)
