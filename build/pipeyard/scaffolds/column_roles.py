"""What becomes of each column of some data: an input of the model, and how, or nothing; and what the model is for."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeyard.errors import PipeyardError, near_misses
from stepkit import tasks

# Without multilabel, whose label isn't one column.
TASKS = tuple(task for task in tasks.TASKS if task != tasks.MULTILABEL)

_NUMBERS = ("int", "double", "float", "decimal")
_DATES = ("date", "timestamp")
# Whole numbers with as few different values are taken for classes.
_MOST_NUMBERED_CLASSES = 10
_MOST_CLASSES = 100
# Text with as few different values is a category; with more it is one if values come back often enough.
_FEW_VALUES = 100
_MOST_VALUES = 1000
_RETURNS = 2
# Words that text has on average, from which on they count one by one.
_WORDS = 3
# Rows of a class, below which chance may leave the class out of the split that a model learns from.
_ENOUGH_OF_A_CLASS = 20
_KEYS = re.compile(r"(^|_)(id|uuid|key|index|rowid)$")
# What a module has by these names, and what Python does.
_TAKEN = {"label", "inputs", "outputs", "transform"}


@dataclass(frozen=True)
class ColumnFacts:
    """What is known of a column.

    Attributes:
        type: Arrow's name of it, as extract's manifest has it.
        rows: how many there are.
        missing: rows without a value.
        distinct: different values.
        words: of a text, on average; 0 for all else.
        dates: what all values of a text are: `date` or `timestamp`, year first, which `features.date_parts` reads;
            `other` if they look like dates in another order; empty: none of these.
        word: of a text, the one value that is no number, where at least two others are and all are; else empty.
        rarest: rows that have the rarest value; known of the label alone.
        mean, deviation: of numbers.
    """

    name: str
    type: str
    rows: int
    missing: int = 0
    distinct: int = 0
    words: float = 0
    dates: str = ""
    word: str = ""
    rarest: int = 0
    mean: float = 0
    deviation: float = 0

    @property
    def is_number(self) -> bool:
        """Whether it has whole or other numbers."""
        return self.type.startswith(_NUMBERS)

    @property
    def has_times(self) -> bool:
        """Whether its dates have a time of day."""
        return self.type.startswith("timestamp") or self.dates == "timestamp"


@dataclass(frozen=True)
class ColumnPlan:
    """What a pipeline makes of data. Features are named by what a model's inputs can be called.

    Attributes:
        task: one of TASKS.
        label: the column to predict.
        label_key: the feature that it becomes.
        numbers, categories, texts, dates: feature to column.
        times: whether dates have a time of day.
        left_out: column to why it is no input.
        warnings: what may go wrong with these data.
    """

    task: str
    label: ColumnFacts
    label_key: str
    numbers: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)
    times: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def columns(self) -> list[str]:
        """The columns that are read: the label first."""
        features = (self.numbers, self.categories, self.texts, self.dates)
        return [self.label.name, *(column for each in features for column in each.values())]


def plan(columns: Sequence[ColumnFacts], label: str, task: str = "") -> ColumnPlan:
    """Decides what becomes of each column.

    Args:
        label: the column to predict.
        task: one of TASKS; empty: the one that the label's values suggest.

    Raises:
        PipeyardError: there is no such column, its values can't be what the task predicts, or nothing is left to
            predict it by.
    """
    known = {each.name: each for each in columns}
    if label not in known:
        raise PipeyardError(f"The data has no column {label!r} (--label). {near_misses(label, known)}")
    target = known[label]
    chosen = _task_of(target, task)
    names = _names([label, *(name for name in known if name != label)])
    kinds: dict[str, dict[str, str]] = {"numbers": {}, "categories": {}, "texts": {}, "dates": {}}
    left_out: dict[str, str] = {}
    for each in columns:
        if each.name == label:
            continue
        kind, reason = _kind_of(each, names[each.name])
        if kind:
            kinds[kind][names[each.name]] = each.name
        else:
            left_out[each.name] = reason
    if not any(kinds.values()):
        told = "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items()) or "the label is the only one"
        raise PipeyardError(f"No column is left to predict {label!r} by: {told}. Give data with more columns.")
    times = any(known[name].has_times for name in kinds["dates"].values())
    warnings = [*_warnings(target, chosen), *filter(None, map(_word_among_numbers, columns))]
    return ColumnPlan(chosen, target, names[label], **kinds, times=times, left_out=left_out, warnings=warnings)


def _task_of(label: ColumnFacts, task: str) -> str:
    present = label.rows - label.missing
    if task and task not in TASKS:
        if task == tasks.MULTILABEL:
            raise PipeyardError(
                "A multilabel model has a column of 0 and 1 for each label, which one column isn't. Scaffold it as "
                "multiclass and let preprocessing_fn return the columns: see docs/model-tasks.md."
            )
        raise PipeyardError(f"No task {task!r}. {near_misses(task, TASKS)}")
    if label.distinct < 2:
        values = "no value" if not present else "one value alone"
        raise PipeyardError(f"The label {label.name!r} has {values}: there is nothing to learn. Name another column.")
    numeric, whole = label.is_number, label.type.startswith("int")
    if not task:
        if numeric and not (whole and label.distinct <= _MOST_NUMBERED_CLASSES):
            task = tasks.REGRESSION
        else:
            task = tasks.BINARY if label.distinct == 2 else tasks.MULTICLASS
    if task == tasks.REGRESSION and not numeric:
        raise PipeyardError(f"The label {label.name!r} is {label.type}, no number: give --task binary or multiclass.")
    if task != tasks.REGRESSION and numeric and not whole:
        raise PipeyardError(f"The label {label.name!r} has fractions, no classes: give --task regression.")
    if task == tasks.BINARY and label.distinct != 2:
        raise PipeyardError(
            f"The label {label.name!r} has {label.distinct} different values; a binary model has 2: "
            "give --task multiclass."
        )
    if task == tasks.MULTICLASS and label.distinct > _MOST_CLASSES:
        raise PipeyardError(
            f"The label {label.name!r} has {label.distinct} different values, too many for classes. Name another "
            "column, or give the numbers among them --task regression."
        )
    return task


def _kind_of(column: ColumnFacts, name: str) -> tuple[str, str]:
    """Returns the kind of feature that a column is, or '' and why it is none."""
    present = column.rows - column.missing
    if column.distinct < 2:
        return "", "it is empty" if not present else "it has one value alone"
    if _KEYS.search(name) and column.distinct == present:
        return "", "it names the row"
    if column.is_number:
        return "numbers", ""
    if column.type.startswith(_DATES) or column.dates in _DATES:
        return "dates", ""
    if column.type not in ("string", "large_string", "bool"):
        return "", f"nothing is known to be made of {column.type}"
    if column.distinct <= _FEW_VALUES:
        return "categories", ""
    if column.words >= _WORDS:
        return "texts", ""
    if column.distinct * _RETURNS <= present and column.distinct <= _MOST_VALUES:
        return "categories", ""
    if column.dates:
        return "", "its dates don't begin with the year; written as 2024-02-29 they would be an input"
    return "", "nearly every row has a value of its own"


def _names(columns: Sequence[str]) -> dict[str, str]:
    """Returns column to the name of its feature: words of ASCII letters and digits, none twice."""
    found: dict[str, str] = {}
    taken = set(_TAKEN)
    for number, column in enumerate(columns, 1):
        name = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_") or f"column_{number}"
        if not name[0].isalpha():
            name = f"column_{name}"
        unique, count = name, 2
        while unique in taken:
            unique, count = f"{name}_{count}", count + 1
        taken.add(unique)
        found[column] = unique
    return found


def _warnings(label: ColumnFacts, task: str) -> list[str]:
    found = []
    if label.missing:
        found.append(f"{label.missing} rows have no {label.name!r}: they are left out ({condition(label.name)}).")
    if task != tasks.REGRESSION and 0 < label.rarest < _ENOUGH_OF_A_CLASS:
        found.append(
            f"A value of {label.name!r} is in {label.rarest} rows alone. A class that chance leaves out of the split "
            "`train` stops the run: leave its rows out (`where`), or split by another column (`split_key`)."
        )
    return found


def _word_among_numbers(column: ColumnFacts) -> str:
    if not column.word:
        return ""
    return (
        f"{column.name!r} is text: it has {column.word!r} among its numbers. If that stands for a missing value, write "
        f"the pipeline anew with --null {shlex.quote(column.word)}."
    )


def condition(label: str) -> str:
    """Returns the SQL condition that a row has a label."""
    escaped = label.replace('"', '""')
    return f'"{escaped}" IS NOT NULL'
