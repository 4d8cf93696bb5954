"""Rows of JSON become tensors, or a message that names the column."""

from typing import Any

import numpy as np
import pytest
from conftest import COLUMNS
from model_server.columns import Reader
from model_server.refusals import Refused

from stepkit.raw_columns import Column

READER = Reader(COLUMNS)
LOWEST = -(2**63)


def tensors(*rows: Any) -> dict[str, Any]:
    found = READER.tensors(READER.of_instances(rows), len(rows))
    return {column.name: tensor for column, tensor in zip(READER.columns, found, strict=True)}


def test_values_of_each_type() -> None:
    found = tensors({"miles": 1.5, "area": 3, "Company Name": "größe", "tags.all": ["a", "b"]}, {"miles": 2})
    assert found["miles"].tolist() == [[1.5], [2.0]]
    assert found["miles"].dtype == np.float32
    assert found["area"].tolist() == [[3], [LOWEST]]
    assert found["Company Name"].tolist() == [["größe".encode()], [b""]]
    assert found["tags.all"].tolist() == [[b"a", b"b"], [b"", b""]]


def test_null_is_missing_as_an_absent_column_is() -> None:
    (absent, null) = (
        tensors({"miles": 1}),
        tensors(dict.fromkeys(["area", "Company Name", "tags.all"]) | {"miles": 1}),
    )
    assert {name: value.tolist() for name, value in absent.items()} == {n: v.tolist() for n, v in null.items()}
    optional = Reader([Column("wait", "wait", np.dtype(np.float32))])
    assert np.isnan(optional.tensors({"wait": [None, 2]}, 2)[0]).tolist() == [[True], [False]]


def test_a_whole_number_may_be_written_with_a_point_and_one_value_without_a_list() -> None:
    found = tensors({"miles": 1, "area": 3.0, "tags.all": "one"})
    assert found["area"].tolist() == [[3]]
    assert found["tags.all"].tolist() == [[b"one"]]


def test_a_boolean_is_the_text_that_examples_have_for_it() -> None:
    found = tensors({"miles": 1, "Company Name": True, "tags.all": [False, "a"]}, {"miles": 1, "Company Name": "x"})
    assert found["Company Name"].tolist() == [[b"true"], [b"x"]]
    assert found["tags.all"].tolist() == [[b"false", b"a"], [b"", b""]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "Instance 1 lacks the column 'miles', which the model needs"),
        ({"miles": None}, "Instance 1 lacks the column 'miles'"),
        ({"miles": "1"}, "The column 'miles' of instance 1 is the text '1'; it must be a number"),
        ({"miles": True}, "'miles' of instance 1 is true; it must be a number"),
        ({"miles": [1]}, "'miles' of instance 1 is a list of 1; it must be a number"),
        ({"miles": {}}, "'miles' of instance 1 is an object"),
        ({"miles": 1e39}, "'miles' of instance 1 is 1e+39; the model takes numbers up to 3.403e"),
        ({"miles": float("nan")}, "'miles' of instance 1 is nan, which JSON hasn't"),
        ({"miles": float("-inf")}, "'miles' of instance 1 is -inf, which JSON hasn't"),
        ({"miles": 1, "area": 1.5}, "'area' of instance 1 is 1.5; it must be a whole number"),
        ({"miles": 1, "area": 2**63}, "'area' of instance 1 is 9223372036854775808; the model takes whole numbers"),
        ({"miles": 1, "area": 1e30}, "'area' of instance 1 is 1e+30; the model takes whole numbers"),
        ({"miles": 1, "area": False}, "'area' of instance 1 is false; it must be a whole number"),
        ({"miles": 1, "Company Name": 5}, "'Company Name' of instance 1 is 5; it must be text"),
        ({"miles": 1, "Company Name": "\ud800"}, "'Company Name' of instance 1 is no text"),
        ({"miles": 1, "tags.all": ["a", 1]}, "'tags.all' of instance 1 is 1; it must be text or a list of texts"),
        ({"miles": 1, "tags.all": ["a", None]}, "'tags.all' of instance 1 has a null among its values"),
        ({"miles": 1, "tags.all": [["a"]]}, "'tags.all' of instance 1 is a list of 1; it must be text or a list"),
        ({"mile": 1}, "Instance 1 has the column 'mile', which the model doesn't take. Did you mean 'miles'?"),
        ({"miles": 1, "Company_Name": "a"}, "Did you mean 'Company Name'?"),
        ([1], "Instance 1 is a list of 1; it must be an object"),
        (None, "Instance 1 is null; it must be an object"),
    ],
)
def test_what_is_wrong_is_named(row: Any, message: str) -> None:
    with pytest.raises(Refused) as refused:
        tensors({"miles": 1}, row)
    assert message in str(refused.value)
    assert refused.value.status == 400


def test_a_column_of_a_fixed_number_of_values() -> None:
    reader = Reader([Column("size", "size", np.dtype(np.float32), (2, 2))])
    (found,) = reader.tensors({"size": [[[1, 2], [3, 4]], [5, 6, 7, 8]]}, 2)
    assert found.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    with pytest.raises(Refused, match="'size' of instance 0 has 3 values; the model takes 4"):
        reader.tensors({"size": [[1, 2, 3]]}, 1)
    assert np.isnan(reader.tensors({"size": [None]}, 1)[0]).all()
