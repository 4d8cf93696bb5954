import json
import math

import numpy as np
import pytest

from stepkit import values
from stepkit.errors import StepError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (np.bool_(False), "false"),
        (3, "3"),
        (3.0, "3"),
        (-0.0, "0"),
        (np.int64(7), "7"),
        (np.float32(0.5), "0.5"),
        (0.1, "0.1"),
        (2.0**60, "1.152921504606847e+18"),
        ("3.0", "3.0"),
        ("", ""),
        ([1, 2.5, None], "[1, 2.5, null]"),
        ({"b": {"deep": np.float64(1.5)}, "a": (True,)}, '{"a": [true], "b": {"deep": 1.5}}'),
    ],
)
def test_parameters_are_written_as_the_launcher_parses_them(value, text):
    assert values.parameter("x", value) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "The output 'auc' has nan, which JSON and KFP don't have. Give a finite number."),
        (np.float32("inf"), "The output 'auc' has inf, which JSON and KFP don't have. Give a finite number."),
        ({"a": [1, math.nan]}, "The output 'auc' has nan at ['a'][1], which JSON and KFP don't have. Leave it out."),
        (None, "The output 'auc' is null, which no parameter can be. Give it a value of its declared type."),
        (b"x", "The output 'auc' has a bytes. Give text, numbers, booleans, or lists and dicts of them."),
    ],
)
def test_parameters_that_the_launcher_would_refuse(value, message):
    with pytest.raises(StepError) as refused:
        values.parameter("auc", value)
    assert str(refused.value) == message


def test_metadata_is_plain_json_with_nested_nulls():
    deep = {"none": None, "list": [None]}
    given = {"auc": np.float32(0.5), "rows": np.int64(3), "good": np.bool_(True), "deep": deep}
    found = values.metadata("metrics", given)
    assert found == {"auc": 0.5, "rows": 3, "good": True, "deep": deep}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rows": 3, "auc": math.nan}, "The metadata of the output 'metrics' has nan at 'auc', which"),
        ({"auc": -math.inf}, "The metadata of the output 'metrics' has -inf at 'auc', which"),
        ({"curve": [{"x": math.nan}]}, "The metadata of the output 'metrics' has nan at 'curve'[0]['x'], which"),
        ({"auc": None}, "The metadata of the output 'metrics' has null for 'auc', which KFP refuses. Leave the key"),
        ({3: "x"}, "The metadata of the output 'metrics' has the key 3. Give keys that are text."),
        ({"when": object()}, "The metadata of the output 'metrics' has a object at 'when'. Give text,"),
    ],
)
def test_metadata_that_the_launcher_would_refuse_names_the_artifact_and_the_key(given, message):
    with pytest.raises(StepError) as refused:
        values.metadata("metrics", given)
    assert str(refused.value).startswith(message)
