"""The label and the weight among the transformed features: which they are, and whether a model can learn from them."""
# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stepkit import examples, tasks
from stepkit.errors import StepError, near_misses

# Of a label that has more distinct values each isn't a class that has to be known: see train's classes.
_MOST_CLASSES = 1000
# Classes that an error names.
_NAMED = 5
_TEXT = "string"  # of TensorFlow's types
Transform = Callable[[pa.RecordBatch], pa.RecordBatch]


@dataclass(frozen=True)
class Targets:
    """Names of transformed features; empty: not known, or none.

    Attributes:
        asked: the label is a parameter, not the module's LABEL, which needn't be meant so.
        is_class: each row's label is one of several classes, which the training split has to have.
        declared: the module says what the model is for, so that it is judged on other splits.
    """

    label: str = ""
    weight: str = ""
    asked: bool = False
    is_class: bool = False
    declared: bool = False

    @property
    def names(self) -> list[str]:
        """Those that are known."""
        return [name for name in (self.label, self.weight) if name]


def of_module(module: ModuleType, label_key: str) -> Targets:
    """Returns what the parameter and the module say.

    Args:
        label_key: empty: the module's LABEL, if it has one.

    Raises:
        StepError: what the module declares is wrong.
    """
    declared = tasks.declared(module)
    label = label_key or getattr(module, "LABEL", "")
    says = hasattr(module, "TASK")
    is_class = says and declared.task in (tasks.BINARY, tasks.MULTICLASS)
    return Targets(label if isinstance(label, str) else "", declared.weight, bool(label_key), is_class, says)


def among(targets: Targets, outputs: Mapping[str, Any]) -> Targets:
    """Returns those that preprocessing_fn returns.

    Args:
        outputs: transformed feature to its tensor.

    Raises:
        StepError: it doesn't return one that it must, or the weight can't be one.
    """
    wanted = [("label", targets.label)] if targets.asked else []
    for what, name in [*wanted, ("WEIGHT", targets.weight)]:
        if name and name not in outputs:
            raise StepError(f"preprocessing_fn returns no {name!r}, the {what}. {near_misses(name, outputs)}")
    if targets.weight and targets.weight == targets.label:
        raise StepError(f"WEIGHT is {targets.weight!r}, which is the label. Name another transformed feature.")
    if targets.weight and outputs[targets.weight].dtype.name == _TEXT:
        raise StepError(
            f"The weight {targets.weight!r} (WEIGHT of the module) is text. Have preprocessing_fn return a number."
        )
    return replace(targets, label=targets.label if targets.label in outputs else "")


@dataclass
class Watch:
    """Looks at the label and the weight of transformed batches. Threads may use it at the same time."""

    targets: Targets
    _found: dict[str, list["_Seen"]] = field(default_factory=dict)

    def over(self, split: str, transform: Transform) -> Transform:
        """Returns `transform`, looked at."""
        found = self._found.setdefault(split, [])

        def watched(batch: pa.RecordBatch) -> pa.RecordBatch:
            transformed = transform(batch)
            for name in self.targets.names:
                found.append(_look(name, transformed.column(name), self._is_class(name)))
            return transformed

        return watched if self.targets.names else transform

    def check(self) -> None:
        """Sees that a model can learn from what was there.

        Raises:
            StepError: a label or a weight is missing or not finite; all labels of a split are the same, or another one
                than the training split has a class that it lacks; a weight is negative, or all of a split's are 0.
        """
        training = examples.training_split(self._found) if self._found else ""
        for split, found in sorted(self._found.items(), key=lambda item: item[0] != training):
            for name in self.targets.names:
                seen = [each for each in found if each.name == name and each.rows]
                if seen:
                    use = _Use.LEARNED if split == training else _Use.JUDGED if self.targets.declared else _Use.OTHER
                    _check(name, split, seen, name == self.targets.weight, use)
        if self.targets.is_class:
            self._check_classes(training)

    def _is_class(self, name: str) -> bool:
        return self.targets.is_class and name == self.targets.label

    def _check_classes(self, training: str) -> None:
        """Evaluation would refuse such rows, when the model is trained."""
        classes = {split: _classes_of(found, self.targets.label) for split, found in self._found.items()}
        known = classes.pop(training, None)
        for split, found in classes.items():
            if known and found and (more := found - known):
                shown = ", ".join(sorted(map(repr, more))[:_NAMED])
                raise StepError(
                    f"The label {self.targets.label!r} is {shown} in the split {split!r}, and never in {training!r}: "
                    "no model can learn what it isn't shown. Give the training split more rows (--splits of extract), "
                    "or leave such rows out when extracting (--where)."
                )


class _Use(Enum):
    """What a split is there for."""

    LEARNED = "a model learns from it"
    JUDGED = "one is judged on it"
    OTHER = "not known"


@dataclass(frozen=True)
class _Seen:
    """A batch of a feature; `least` and `most` by position in a row, if there are as many values in each.

    `classes` are its distinct values, where they matter and aren't too many.
    """

    name: str
    rows: int
    missing: int
    strange: int
    least: list[Any] | None
    most: list[Any] | None
    classes: frozenset[Any] | None = None


def _classes_of(seen: Sequence[_Seen], label: str) -> frozenset[Any] | None:
    """Returns the distinct labels of a split; None if they are none, or too many to be classes."""
    found = [each.classes for each in seen if each.name == label and each.rows]
    if any(each is None for each in found):
        return None
    every = frozenset().union(*(each for each in found if each is not None))
    return every if 0 < len(every) <= _MOST_CLASSES else None


def _distinct(values: Any) -> frozenset[Any] | None:
    if pa.types.is_floating(values.type):
        return None
    found = pc.unique(values)
    if len(found) > _MOST_CLASSES:
        return None
    return frozenset(each.decode(errors="replace") if isinstance(each, bytes) else each for each in found.to_pylist())


def _look(name: str, column: Any, is_class: bool = False) -> _Seen:
    values = column.flatten()
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    missing = int((lengths == 0).sum())
    strange, least, most = 0, None, None
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return _Seen(name, len(column), missing, 0, None, None)
    if pa.types.is_floating(values.type):
        strange = int((~np.isfinite(values.to_numpy(zero_copy_only=False))).sum())
    elif not pa.types.is_integer(values.type):
        missing += pc.sum(pc.equal(pc.binary_length(values), 0), min_count=0).as_py()
    if len(column) and lengths.min() == lengths.max() > 0:
        width = int(lengths[0])
        columns = [values.take(pa.array(range(place, len(values), width))) for place in range(width)]
        ends = [pc.min_max(each).as_py() for each in columns]
        least, most = [each["min"] for each in ends], [each["max"] for each in ends]
    return _Seen(name, len(column), missing, strange, least, most, _distinct(values) if is_class else None)


def _check(name: str, split: str, seen: Sequence[_Seen], weight: bool, use: _Use) -> None:
    what = f"The {'weight' if weight else 'label'} {name!r}"
    rows = sum(each.rows for each in seen)
    if missing := sum(each.missing for each in seen):
        raise StepError(
            f"{what} is missing in {missing:,} of {rows:,} rows of the split {split!r}. Leave such rows out when "
            "extracting (--where), or give them a value in preprocessing_fn."
        )
    if strange := sum(each.strange for each in seen):
        raise StepError(
            f"{what} is NaN or infinite in {strange:,} values of the split {split!r} ({rows:,} rows). Leave such rows "
            "out when extracting (--where), or guard against them in preprocessing_fn."
        )
    ends = [(each.least, each.most) for each in seen if each.least is not None and each.most is not None]
    if len(ends) < len(seen):
        return
    least, most = (
        [min(each) for each in zip(*(low for low, _ in ends), strict=False)],
        [max(each) for each in zip(*(high for _, high in ends), strict=False)],
    )
    if weight and min(least) < 0:
        raise StepError(
            f"{what} is {min(least):g} in a row of the split {split!r}; a weight is 0 or more. "
            "Correct how preprocessing_fn makes it."
        )
    if weight and max(most) == 0:
        raise StepError(f"{what} is 0 in all {rows:,} rows of the split {split!r}: none would count. Correct it.")
    if not weight and least == most:
        _refuse_constant(what, least, rows, split, use)


def _refuse_constant(what: str, values: Sequence[Any], rows: int, split: str, use: _Use) -> None:
    value = values[0] if len(values) == 1 else values
    shown = value.decode(errors="replace") if isinstance(value, bytes) else value
    where = f"{what} is {shown!r} in all {rows:,} rows of the split {split!r}"
    if use == _Use.LEARNED and rows > 1:
        raise StepError(
            f"{where}: there is nothing to learn. Check how preprocessing_fn makes it, and which rows are extracted."
        )
    if use == _Use.JUDGED and len(set(values)) == 1:  # of several labels evaluation takes what isn't all 0, or all 1
        raise StepError(
            f"{where}: no model can be judged on it. Give the split more rows (--splits of extract: a larger share), "
            "or check how preprocessing_fn makes the label."
        )
