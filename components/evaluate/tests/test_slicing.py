"""Grouping rows by columns of every type."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from evaluate import slicing


def chunked(*chunks, kind=None):
    return pa.chunked_array([pa.array(chunk, kind) for chunk in chunks])


def keys_of_rows(made):
    return [None if code == slicing.MISSING else made.keys[code] for code in made.codes]


def test_null_rows_are_in_no_slice_across_chunks():
    made = slicing.slice_rows(("a",), {"a": chunked(["x", None], ["y", "x"])})
    assert keys_of_rows(made) == [(("a", "x"),), None, (("a", "y"),), (("a", "x"),)]


def test_crossed_features_only_make_the_slices_that_occur():
    made = slicing.slice_rows(("a", "b"), {"a": chunked(["x", "x", "y", None]), "b": chunked([1, 2, 2, 1])})
    assert keys_of_rows(made) == [(("a", "x"), ("b", 1)), (("a", "x"), ("b", 2)), (("a", "y"), ("b", 2)), None]
    assert len(made.keys) == 3


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (chunked([True]), "true"),
        (chunked([3], kind=pa.int16()), 3),
        (chunked([0.1]), float(np.float32(0.1))),
        (chunked([b"\xff"]), "\\xff"),
        (chunked(["x"]).dictionary_encode(), "x"),
        (chunked([datetime.date(2024, 2, 1)]), "2024-02-01"),
        (chunked([float("nan")]), None),
        (chunked([None], kind=pa.string()), None),
    ],
)
def test_values_become_keys_that_tfma_takes(column, value):
    made = slicing.slice_rows(("a",), {"a": column})
    assert keys_of_rows(made) == [None if value is None else (("a", value),)]


def test_label_of_a_slice():
    assert slicing.label((("a", "x"), ("b", 1))) == "a=x, b=1"
    assert slicing.label(slicing.OVERALL) == "overall"
