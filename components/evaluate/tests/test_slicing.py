"""Grouping rows by columns of every type."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from evaluate import slicing


def keys_of_rows(made):
    return [None if code == slicing.MISSING else made.keys[code] for code in made.codes]


def test_null_rows_are_in_no_slice():
    made = slicing.slice_rows(("a",), {"a": pa.array(["x", None, "y", "x"])})
    assert keys_of_rows(made) == [(("a", "x"),), None, (("a", "y"),), (("a", "x"),)]


def test_crossed_features_only_make_the_slices_that_occur():
    made = slicing.slice_rows(("a", "b"), {"a": pa.array(["x", "x", "y", None]), "b": pa.array([1, 2, 2, 1])})
    assert keys_of_rows(made) == [(("a", "x"), ("b", 1)), (("a", "x"), ("b", 2)), (("a", "y"), ("b", 2)), None]
    assert len(made.keys) == 3


def test_many_features_of_many_values_keep_their_rows_apart():
    """1024 values of each of 8 features: their product is 2**80."""
    names = tuple("abcdefgh")
    made = slicing.slice_rows(names, {name: pa.array(np.arange(1024)) for name in names})
    assert [[value for _, value in key] for key in keys_of_rows(made)] == [[row] * len(names) for row in range(1024)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pa.array([True]), "true"),
        (pa.array([3], type=pa.int16()), 3),
        (pa.array([0.1]), float(np.float32(0.1))),
        (pa.array([b"\xff"]), "\\xff"),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array([datetime.date(2024, 2, 1)]), "2024-02-01"),
        (pa.array([float("nan")]), None),
        (pa.array([None], type=pa.string()), None),
    ],
)
def test_values_become_keys_that_tfma_takes(column, value):
    made = slicing.slice_rows(("a",), {"a": column})
    assert keys_of_rows(made) == [None if value is None else (("a", value),)]


def test_label_of_a_slice():
    assert slicing.label((("a", "x"), ("b", 1))) == "a=x, b=1"
    assert slicing.label(slicing.OVERALL) == "overall"
