from types import SimpleNamespace

import pytest

from stepkit import tasks
from stepkit.errors import StepError


def test_a_module_that_says_nothing_is_binary():
    assert tasks.declared(SimpleNamespace()) == tasks.Declaration("binary", "", ())


def test_what_a_module_declares():
    module = SimpleNamespace(TASK="multiclass", WEIGHT="importance", CLASSES=["c", "a", "b"])
    assert tasks.declared(module) == tasks.Declaration("multiclass", "importance", ("c", "a", "b"))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            {"TASK": "multi-class"},
            "TASK is 'multi-class'; it must be one of binary, multiclass, multilabel, regression",
        ),
        ({"TASK": "multi-class"}, "Did you mean 'multiclass'"),
        ({"TASK": ["binary"]}, r"TASK is \['binary'\]"),
        ({"WEIGHT": 3}, "WEIGHT is 3. Name a feature"),
        ({"CLASSES": "ab"}, "CLASSES is 'ab'. Make it a list"),
        ({"CLASSES": ["a", 1]}, "mixes types"),
        ({"CLASSES": [True, False]}, "mixes types or has others"),
        ({"CLASSES": [["a"], ["b"]]}, "mixes types or has others"),
        ({"CLASSES": ["a", "a"]}, "names 'a' twice"),
        ({"CLASSES": ["a", "b", "c"]}, "has 3 classes; TASK 'binary' has 2"),
        ({"TASK": "multiclass", "CLASSES": ["a"]}, "has one class"),
        ({"TASK": "regression", "CLASSES": ["a", "b"]}, "'regression', which has none"),
    ],
)
def test_wrong_declarations_name_the_line_to_change(declared, message):
    with pytest.raises(StepError, match=message):
        tasks.declared(SimpleNamespace(**declared))
