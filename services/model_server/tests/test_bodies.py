"""V1 and V2: what a body asks, what is wrong with it, and what it is answered."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from conftest import COLUMNS
from model_server import bodies
from model_server.columns import Reader
from model_server.refusals import Refused

from stepkit import tasks
from stepkit.answers import Answers

READER = Reader(COLUMNS)
MILES = {"name": "miles", "shape": [2], "datatype": "FP32", "data": [1, 2]}


def v1(body: Any) -> bodies.Asked:
    return bodies.read_v1(bodies.parse(orjson.dumps(body)), READER, 3)


def v2(*inputs: Any, **more: Any) -> bodies.Asked:
    return bodies.read_v2(bodies.parse(orjson.dumps({"inputs": inputs, **more})), READER, 3)


def test_v1_rows() -> None:
    asked = v1({"instances": [{"miles": 1}, {"miles": 2, "area": 5}], "signature_name": "serve_raw"})
    assert asked.rows == 2
    assert asked.values == {
        "miles": [1, 2], "area": [None, 5], "Company Name": [None, None], "tags.all": [None, None]
    }  # fmt: skip


def test_v2_columns() -> None:
    tags = {"name": "tags.all", "shape": [2, 2], "datatype": "BYTES", "data": [["a", "b"], ["c", "d"]]}
    asked = v2({**MILES, "shape": [2, 1], "data": [[1], [2]]}, tags, id="first")
    assert (asked.rows, asked.request_id) == (2, "first")
    assert asked.values == {"miles": [1, 2], "tags.all": [["a", "b"], ["c", "d"]]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty"),
        (b'{"instances": [', "The body isn't JSON"),
        (b"\xff", "The body isn't JSON"),
        (b"[" * 5000, "The body isn't JSON"),
        (b"[]", "must be a JSON object; it is empty"),
        (b'"a"', "must be a JSON object; it is text"),
        (b'{"instances": [{"miles": NaN}]}', "The column 'miles' of instance 0 is NaN, which JSON hasn't"),
        (b'{"instances": [{"miles": 1}, {"tags.all": [-Infinity]}]}', "'tags.all' of instance 1 is -Infinity"),
        (b'{"inputs": [{"name": "miles", "data": [Infinity]}]}', "The column 'miles' has a value Infinity"),
        (b'{"instances": NaN}', "The body has NaN or Infinity, which JSON hasn't"),
    ],
)
def test_what_isnt_json(body: bytes, message: str) -> None:
    with pytest.raises(Refused) as refused:
        bodies.parse(body)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "The body lacks 'instances'"),
        ({"instance": []}, "'instance', which isn't known. Did you mean 'instances'?"),
        ({"inputs": []}, "'inputs', which isn't known"),
        ({"instances": []}, "'instances' must be a list of one or more objects; it is empty"),
        ({"instances": {"miles": 1}}, "it is an object"),
        ({"instances": [{"miles": 1}], "signature_name": "predict"}, "'signature_name' can only be 'serve_raw'"),
        ({"instances": [{"miles": 1}] * 4}, "The request has 4 rows; 3 are taken at once"),
    ],
)
def test_what_is_no_v1(body: Any, message: str) -> None:
    with pytest.raises(Refused) as refused:
        v1(body)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "milez"}, "the column 'milez', which the model doesn't take. Did you mean 'miles'?"),
        ({"name": 3}, "The name of input 0 must be text; it is a number"),
        ({"datatype": "BYTES"}, "'miles' has the datatype 'BYTES'; it must be one of FP32"),
        ({"datatype": []}, "'miles' has the datatype '[]'"),
        ({"shape": [3]}, "'miles' has 2 values; its shape [3] has 3"),
        ({"shape": [1, 2]}, "'miles' has 2 values a row; the model takes one"),
        ({"shape": [-2, -1]}, "The shape of input 'miles' must be"),
        ({"shape": "2"}, "The shape of input 'miles' must be"),
        ({"data": {}}, "The data of input 'miles' must be a list; it is an object"),
        ({"data": [], "shape": [0]}, "'miles' has 0 values"),
        ({"date": 1}, "Input 0 has 'date', which isn't known. Did you mean 'data'"),
    ],
)
def test_what_is_no_v2(changes: Any, message: str) -> None:
    with pytest.raises(Refused) as refused:
        v2({**MILES, **changes})
    assert message in str(refused.value)


def test_v2_inputs_that_dont_fit_each_other() -> None:
    with pytest.raises(Refused, match="has the column 'miles' twice"):
        v2(MILES, MILES)
    with pytest.raises(Refused, match="'area' has 1 rows; the first input has 2"):
        v2(MILES, {"name": "area", "shape": [1], "datatype": "INT64", "data": [1]})
    with pytest.raises(Refused, match="The body lacks 'inputs'"):
        bodies.read_v2({}, READER, 3)


def test_answers_of_each_task() -> None:
    def v1_of(answers: Answers, *rows: list[float]) -> Any:
        return json.loads(bodies.write_v1(answers, np.array(rows), "7"))["predictions"]

    binary = Answers(tasks.BINARY, "probabilities", ("no", "yes"), 0.25)
    assert v1_of(binary, [0.5], [0.25]) == [
        {"probability": 0.5, "class": "yes", "threshold": 0.25},
        {"probability": 0.25, "class": "no", "threshold": 0.25},
    ]
    assert v1_of(Answers(tasks.BINARY, "out"), [0.75]) == [{"probability": 0.75, "class": 1, "threshold": 0.5}]
    several = Answers(tasks.MULTICLASS, "scores", (10, 20, 30))
    assert v1_of(several, [0.25, 0.5, 0.25]) == [{"class": 20, "scores": {"10": 0.25, "20": 0.5, "30": 0.25}}]
    labels = Answers(tasks.MULTILABEL, "scores", ("a", "b"))
    assert v1_of(labels, [0.75, 0.5])[0]["classes"] == ["a"]
    assert v1_of(Answers(tasks.REGRESSION, "predictions"), [-1.5]) == [{"prediction": -1.5}]


def test_v2_answers_have_the_model_s_numbers_and_the_class() -> None:
    answers = Answers(tasks.MULTICLASS, "scores", ("a", "b"))
    found = json.loads(bodies.write_v2(answers, np.array([[0.25, 0.75]]), ("taxi", "7"), "x"))
    assert (found["model_name"], found["model_version"], found["id"]) == ("taxi", "7", "x")
    assert found["outputs"] == [
        {"name": "scores", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.75]},
        {"name": "classes", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "b"]},
        {"name": "class", "shape": [1], "datatype": "BYTES", "data": ["b"]},
    ]


def test_an_answer_that_isnt_finite_is_none() -> None:
    with pytest.raises(Refused, match="no finite answer to instance 1") as refused:
        bodies.write_v1(Answers(tasks.REGRESSION, "predictions"), np.array([[1.0], [np.nan]]), "7")
    assert refused.value.status == 422
