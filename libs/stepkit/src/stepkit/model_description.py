"""What a SavedModel says of itself beside its graph: `assets.extra/model.json`.

train writes it; evaluate, deploy and servers learn the task, the classes and the names from it and from nothing else.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stepkit import tasks
from stepkit.errors import StepError

FILE = "assets.extra/model.json"
_FORMAT = 1
_TAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_UNTAMED = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class ModelDescription:
    """A model's facts.

    Attributes:
        label: the transformed feature that it predicts.
        task: see `stepkit.tasks`.
        classes: in the order of its outputs; of a binary model the second is the one whose probability it gives. Empty
            for regression.
        weight: the transformed feature that says how much a row counts; empty: each as one.
        raw_types: raw feature that a request has, to `BYTES`, `INT` or `FLOAT`.
        arguments: raw feature to its argument of the signature of raw columns.
    """

    label: str
    task: str = tasks.BINARY
    classes: tuple[tasks.Class, ...] = ()
    weight: str = ""
    raw_types: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """The output of a signature that has the answer."""
        return tasks.ANSWERS[self.task]

    def to_json(self) -> str:
        """Returns the content of the file."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def read(model: Path) -> ModelDescription | None:
    """Reads what a SavedModel says of itself; None if it says nothing, as those of train before `TASK` don't.

    Raises:
        StepError: the file is damaged, or written by a newer train.
    """
    path = model / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != _FORMAT:
            raise StepError(
                f"{str(path)!r} is of a newer format. Use the version of this step that belongs to train's."
            )
        classes = tasks.check_classes(found["task"], found.pop("classes"), f"{str(path)!r}: classes")
        return ModelDescription(classes=classes, **found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StepError(
            f"{str(path)!r} doesn't describe a model ({type(error).__name__}: {error}). Train the model again."
        ) from error


def arguments(names: Iterable[str]) -> dict[str, str]:
    """Returns raw features' arguments: names that TensorFlow takes, no two alike when case is left out of account.

    A letter followed by letters, digits and underscores stays as it is. In all other names each run of other characters
    becomes an underscore, and one that then doesn't start with a letter gets `c_` before it. Of names that would be the
    same, those that stayed as they are keep theirs, and the others are numbered in the order of their raw names.
    TensorFlow leaves case out of account when it tells placeholders apart.
    """
    ordered = sorted(names, key=lambda name: (_TAME.fullmatch(name) is None, name))
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in ordered:
        plain = name if _TAME.fullmatch(name) else _UNTAMED.sub("_", name)
        if not _TAME.fullmatch(plain):
            plain = f"c_{plain.lstrip('_')}".rstrip("_") if plain.strip("_") else "c"
        free, number = plain, 1
        while free.lower() in taken:
            number += 1
            free = f"{plain}_{number}"
        taken.add(free.lower())
        found[name] = free
    return found
