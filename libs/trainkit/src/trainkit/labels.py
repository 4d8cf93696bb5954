"""The label as a model is trained on it: its classes as numbers, and how much each row counts.

A label of classes becomes the index of its class: int64 for text and for more than two classes, of the label's own type
for two numbers. Rows count as the module's `WEIGHT` says, times its `CLASS_WEIGHTS` of the row's class.
"""

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from stepkit import schemas, tasks
from stepkit.errors import StepError, near_misses
from trainkit import reading
from trainkit.schema import FeatureSpec

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

# Column that a split's weights are kept in; no feature has such a name.
WEIGHTS = "\0weight"
# More distinct labels than this, or than half the rows, are no classes unless CLASSES names them.
MOST_CLASSES = 1000
_FEW_CLASSES = 20
_CLASS_WEIGHTS = "CLASS_WEIGHTS"
_DROP = "Drop those rows in extract (--where), or fill them in preprocessing_fn."


@dataclass(frozen=True)
class Target:
    """What a model is trained for.

    Attributes:
        label: transformed feature.
        task: see `stepkit.tasks`.
        classes: in the order of the model's outputs; empty for regression.
        weight: transformed feature that says how much a row counts; empty: each as one.
        class_weights: what the rows of each class count besides; empty: all alike.
    """

    label: str
    task: str = tasks.BINARY
    classes: tuple[tasks.Class, ...] = (0, 1)
    weight: str = ""
    class_weights: tuple[float, ...] = ()

    @property
    def weighted(self) -> bool:
        """True if not all rows count as one."""
        return bool(self.weight or self.class_weights)

    @property
    def outputs(self) -> int:
        """Numbers that a model gives a row."""
        return len(self.classes) if self.task in (tasks.MULTICLASS, tasks.MULTILABEL) else 1

    @property
    def withheld(self) -> dict[str, str]:
        """Transformed features that no model gets, and what they are."""
        found = {self.label: "the label (--label-key), which is what it predicts"}
        if self.weight:
            found[self.weight] = "the WEIGHT, which only says how much a row counts"
        return found

    def encoded(self, label: Any) -> Any:
        """Returns the parsing spec of the label as the model gets it, for that of the label as it is."""
        if self.task == tasks.MULTICLASS or label.dtype == tf.string:
            return tf.io.FixedLenFeature([1], tf.int64)
        return label


def check_spec(spec: FeatureSpec, label: str, declared: tasks.Declaration) -> None:
    """Checks that a label and a weight can be what the module declares.

    Raises:
        StepError: there is no such transformed feature, or it has another type or shape.
    """
    if label not in spec:
        raise StepError(f"No transformed feature is called {label!r} (--label-key). {near_misses(label, spec)}")
    feature, task = spec[label], declared.task
    if task == tasks.MULTILABEL:
        if not _is_dense(feature) or len(feature.shape) != 1 or feature.dtype == tf.string:
            raise StepError(
                f"The label {label!r} isn't [rows, classes] of 0 and 1, which TASK {task!r} needs. Have "
                "preprocessing_fn return it dense, with a column a class."
            )
        width = feature.shape[0]
        if declared.classes and len(declared.classes) != width:
            raise StepError(
                f"The label {label!r} has {width} columns, but CLASSES names {len(declared.classes)} classes. "
                "Name one for each column, in their order."
            )
    elif not _is_single(feature):
        raise StepError(
            f"The label {label!r} isn't one value a row. Have preprocessing_fn return it dense, as [rows, 1]."
        )
    elif task == tasks.REGRESSION and feature.dtype == tf.string:
        raise StepError(
            f"The label {label!r} is text, but TASK is {task!r}. Have preprocessing_fn turn it into a number, or "
            f"declare TASK = {tasks.MULTICLASS!r}."
        )
    elif declared.classes and isinstance(declared.classes[0], str) != (feature.dtype == tf.string):
        kind = "text" if feature.dtype == tf.string else "numbers"
        raise StepError(
            f"The label {label!r} is {kind}, but CLASSES names {declared.classes[0]!r}. Name the classes as the "
            "label has them."
        )
    _check_weight(spec, label, declared.weight)


def _check_weight(spec: FeatureSpec, label: str, weight: str) -> None:
    if not weight:
        return
    if weight not in spec:
        raise StepError(
            f"No transformed feature is called {weight!r} (WEIGHT of the module). {near_misses(weight, spec)}"
        )
    if weight == label:
        raise StepError(f"WEIGHT is {weight!r}, which is the label. Name another transformed feature.")
    if not _is_single(spec[weight]) or spec[weight].dtype == tf.string:
        raise StepError(
            f"The weight {weight!r} isn't one number a row. Have preprocessing_fn return it dense, as [rows, 1]."
        )


def _is_dense(feature: Any) -> bool:
    return isinstance(feature, tf.io.FixedLenFeature)


def _is_single(feature: Any) -> bool:
    return _is_dense(feature) and list(feature.shape) in ([], [1])


def find_target(module: ModuleType, train: reading.Split, spec: FeatureSpec, label: str) -> Target:
    """Returns what the module's model is to be trained for; reads the label of the training split where it must.

    Raises:
        StepError: see `check_spec`; or the label's values are no classes, or the module's CLASS_WEIGHTS don't fit.
    """
    declared = tasks.declared(module)
    check_spec(spec, label, declared)
    classes = declared.classes
    if not classes and declared.task == tasks.MULTILABEL:
        classes = tuple(str(column) for column in range(spec[label].shape[0]))
    elif not classes and declared.task != tasks.REGRESSION:
        classes = tasks.check_classes(
            declared.task, _found_classes(train, spec, label, declared.task), f"Label {label!r}"
        )
    weights = class_weights(module, declared.task, classes)
    return Target(label, declared.task, classes, declared.weight, weights)


def class_weights(module: ModuleType, task: str, classes: tuple[tasks.Class, ...]) -> tuple[float, ...]:
    """Returns the weight of each class that a module declares; none if it declares none, or the classes aren't known.

    Raises:
        StepError: they aren't a dict of class to weight, or the task has no class a row.
    """
    declared = getattr(module, _CLASS_WEIGHTS, None)
    if declared is None or declared == {}:
        return ()
    if not isinstance(declared, Mapping):
        raise StepError(f"The pipeline module's {_CLASS_WEIGHTS} is {declared!r}. Make it a dict of class to weight.")
    if task not in (tasks.BINARY, tasks.MULTICLASS):
        raise StepError(
            f"The pipeline module has {_CLASS_WEIGHTS}, but with TASK {task!r} a row has no class of its own. "
            "Remove it; declare WEIGHT to weigh rows."
        )
    for name, weight in declared.items():
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight < math.inf:
            raise StepError(
                f"{_CLASS_WEIGHTS} of the pipeline module gives the class {name!r} the weight {weight!r}. Give a "
                "number of 0 or more."
            )
        if classes and name not in classes:
            raise StepError(
                f"{_CLASS_WEIGHTS} of the pipeline module names {name!r}, which is no class of the label. "
                f"{near_misses(str(name), map(str, classes))}"
            )
    return tuple(float(declared.get(each, 1)) for each in classes)


def _found_classes(split: reading.Split, spec: FeatureSpec, label: str, task: str) -> list[tasks.Class]:
    found: set[tasks.Class] = set()
    most = max(_FEW_CLASSES, min(MOST_CLASSES, split.rows // 2))
    with contextlib.closing(reading.read(split, {label: spec[label]})) as blocks:
        for file, block in blocks:
            column = block.column(label)
            _refuse_missing(column, f"Label {label!r}", str(file), split.name)
            found.update(_values(pc.unique(column), label, split.name))
            if task == tasks.BINARY and len(found) == 2:
                break  # a third one is found, and named, when the split is read as a whole
            if len(found) > (2 if task == tasks.BINARY else most):
                raise StepError(_too_many(label, split.name, found, task))
    if len(found) == 1:
        raise StepError(_constant(label, next(iter(found)), split.name))
    return sorted(found)


def _too_many(label: str, split: str, found: Iterable[tasks.Class], task: str) -> str:
    values = sorted(found, key=str)
    shown = ", ".join(map(repr, values[:3]))
    number = f"more than {len(values) - 1:,}"
    if isinstance(values[0], str):
        remedy = (
            f"declare TASK = {tasks.MULTICLASS!r}"
            if task == tasks.BINARY
            else "have preprocessing_fn join the rare ones; or name all in CLASSES"
        )
    else:
        remedy = f"declare TASK = {tasks.REGRESSION!r} if it is a quantity, " + (
            f"{tasks.MULTICLASS!r} if its values are classes"
            if task == tasks.BINARY
            else "or name its classes in CLASSES"
        )
    return (
        f"Label {label!r} has {number} distinct values in split {split!r} ({shown}, ...): too many for TASK {task!r}. "
        f"In the pipeline module, {remedy}."
    )


def _constant(label: str, value: object, split: str) -> str:
    return (
        f"Label {label!r} is {value} in every example of split {split!r}: with one class "
        "there is nothing to learn. Check how preprocessing_fn computes it, and what extract reads."
    )


def _values(values: pa.Array, label: str, split: str) -> list[tasks.Class]:
    """Returns distinct values as classes: text, or integers."""
    if pa.types.is_binary(values.type):
        try:
            return [value.decode() for value in values.to_pylist()]
        except UnicodeDecodeError as error:
            raise StepError(
                f"Label {label!r} isn't UTF-8 in split {split!r}: {error.object[:40]!r}. Decode it in preprocessing_fn."
            ) from error
    found: list[tasks.Class] = []
    for value in values.to_pylist():
        if value != int(value):
            raise StepError(
                f"Label {label!r} has {value!r} in split {split!r}: only whole numbers are classes. If it is a "
                f"quantity, declare TASK = {tasks.REGRESSION!r} in the pipeline module; else round it in "
                "preprocessing_fn."
            )
        found.append(int(value))
    return found


def _refuse_missing(column: pa.Array, what: str, file: str, split: str) -> None:
    if pa.types.is_binary(column.type):
        bad, problem = pc.sum(pc.equal(column, schemas.MISSING["BYTES"])).as_py() or 0, "missing (empty)"
    elif pa.types.is_integer(column.type):
        bad, problem = pc.sum(pc.equal(column, schemas.MISSING["INT"])).as_py() or 0, "missing"
    else:
        bad, problem = len(column) - (pc.sum(pc.is_finite(column)).as_py() or 0), "NaN or infinite"
    if bad:
        raise StepError(f"{what} is {problem} in {bad:,} examples of {file!r} (split {split!r}). {_DROP}")


class Encoder:
    """Checks a split's label and weight, and encodes them, block by block.

    Attributes:
        seen: indices of the classes that are in the split; of a regression none.
    """

    def __init__(self, target: Target, split: str) -> None:
        self.seen: set[int] = set()
        self._target = target
        self._split = split
        self._low: Any = None
        self._high: Any = None
        self._weights = 0.0
        self._index = pa.array([each.encode() if isinstance(each, str) else each for each in target.classes])

    def encode(self, file: str, block: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """Returns a block as `schema`, with the label as the model gets it.

        Raises:
            StepError: values of the label or the weight that can't be; names the file.
        """
        target = self._target
        label = block.column(target.label)
        values = label.flatten() if pa.types.is_nested(label.type) else label
        _refuse_missing(values, f"Label {target.label!r}", file, self._split)
        columns = {name: block.column(name) for name in schema.names if name != WEIGHTS}
        indices = None
        if target.task == tasks.REGRESSION:
            self._widen(values.to_numpy())
        elif target.task == tasks.MULTILABEL:
            self._mark(values.to_numpy().reshape(len(block), -1), file)
        else:
            indices = self._indices(label, file)
            if target.classes != (0, 1) or label.type != schema.field(target.label).type:
                columns[target.label] = indices.cast(schema.field(target.label).type)
        if target.weighted:
            columns[WEIGHTS] = self._weigh(block, indices, file)
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)

    def finish(self) -> None:
        """Checks the split as a whole.

        Raises:
            StepError: its label is the same in every row, or all its weights are 0.
        """
        target = self._target
        if target.task in (tasks.REGRESSION, tasks.MULTILABEL):
            if np.array_equal(self._low, self._high):
                low = self._low.tolist() if target.task == tasks.MULTILABEL else self._low
                raise StepError(_constant(target.label, low, self._split).replace("with one class ", ""))
        elif len(self.seen) == 1:
            raise StepError(_constant(target.label, target.classes[next(iter(self.seen))], self._split))
        if target.weighted and not self._weights:
            what = f"Weight {target.weight!r}" if target.weight else _CLASS_WEIGHTS
            raise StepError(
                f"{what} makes every example of split {self._split!r} count 0: there is nothing to learn. "
                "Check how preprocessing_fn computes it."
            )

    def _widen(self, values: np.ndarray) -> None:
        low, high = values.min(axis=0), values.max(axis=0)
        self._low = low if self._low is None else np.minimum(self._low, low)
        self._high = high if self._high is None else np.maximum(self._high, high)

    def _mark(self, rows: np.ndarray, file: str) -> None:
        strange = (rows != 0) & (rows != 1)
        if strange.any():
            row, column = np.argwhere(strange)[0]
            raise StepError(
                f"Label {self._target.label!r} has {rows[row, column]} for the class {self._target.classes[column]!r} "
                f"in {file!r} (split {self._split!r}); TASK {tasks.MULTILABEL!r} takes 0 and 1. Correct it in "
                "preprocessing_fn."
            )
        self._widen(rows)
        self.seen.update(np.flatnonzero(rows.any(axis=0)).tolist())

    def _indices(self, label: pa.Array, file: str) -> pa.Array:
        target = self._target
        known = self._index if pa.types.is_binary(label.type) else self._index.cast(label.type)
        indices = pc.index_in(label, value_set=known)
        if indices.null_count:
            strange = _values(pc.unique(label.filter(pc.is_null(indices))), target.label, self._split)[0]
            more = target.task == tasks.BINARY and len(target.classes) == 2
            raise StepError(
                f"Label {target.label!r} has the class {strange!r} in {indices.null_count:,} examples of {file!r} "
                f"(split {self._split!r}); the classes are {_listed(target.classes)}. Train needs examples of every "
                "class: split the data otherwise, drop those rows in extract (--where), or add the class to CLASSES of "
                "the pipeline module" + (f" with TASK = {tasks.MULTICLASS!r}." if more else ".")
            )
        self.seen.update(pc.unique(indices).to_pylist())
        return indices

    def _weigh(self, block: pa.RecordBatch, indices: pa.Array | None, file: str) -> pa.Array:
        target = self._target
        weights = np.ones(len(block), np.float32)
        if target.weight:
            weights = block.column(target.weight).to_numpy(zero_copy_only=False).astype(np.float32)
            bad = ~np.isfinite(weights) | (weights < 0)
            if bad.any():
                raise StepError(
                    f"Weight {target.weight!r} is negative, NaN or infinite in {int(bad.sum()):,} examples of {file!r} "
                    f"(split {self._split!r}), {weights[bad][0]} among them. {_DROP}"
                )
        if target.class_weights and indices is not None:
            weights = weights * np.asarray(target.class_weights, np.float32)[indices.to_numpy()]
        self._weights += float(weights.sum(dtype=np.float64))
        return pa.array(weights, pa.float32())


def check_eval(target: Target, train: tuple[str, set[int]], validation: tuple[str, set[int]]) -> None:
    """Checks that a model can have learned what it is validated with.

    Args:
        train: name of the split, and indices of the classes that are in it.
        validation: likewise.

    Raises:
        StepError: a class is in the second split alone.
    """
    for index in sorted(validation[1] - train[1]):
        raise StepError(
            f"Label {target.label!r} has the class {target.classes[index]!r} in split {validation[0]!r}, but not "
            f"in split {train[0]!r}: a model can't learn it. Split the data otherwise, or drop those rows in extract "
            "(--where)."
        )


def _listed(classes: tuple[tasks.Class, ...], most: int = 10) -> str:
    shown = ", ".join(map(repr, classes[:most]))
    return shown if len(classes) <= most else f"{shown} and {len(classes) - most} more"
