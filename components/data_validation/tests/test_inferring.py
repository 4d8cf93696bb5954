"""An inferred schema lets a healthy second sample pass, and still finds what is wrong."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from conftest import write_examples
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

Columns = dict[str, pa.Array]


def some(values: np.ndarray, random: np.random.Generator, share: float) -> pa.Array:
    """Returns the values with about `share` of them present."""
    return pa.array(values, mask=random.random(len(values)) >= share)


def sparse(random: np.random.Generator, rows: int) -> Columns:
    """From nearly always there to nearly never."""
    shares = (0.999, 0.9, 0.5, 0.05, 0.002)
    return {f"s{share}": some(random.normal(size=rows), random, share) for share in shares}


def wide(random: np.random.Generator, rows: int) -> Columns:
    return {f"c{number}": some(random.normal(size=rows), random, 0.05) for number in range(60)}


def categorical(random: np.random.Generator, rows: int) -> Columns:
    """Classes, a tail of rare values, codes that mostly read as numbers, identifiers, text that is true or false."""
    names = np.array([f"v{number}" for number in range(80)])
    tail = 1.0 / np.arange(1, 81) ** 1.6
    codes = np.array(["101", "102", "103", "7A"])
    return {
        "class": pa.array(np.array(["a", "b", "c"])[random.integers(0, 3, rows)]),
        "tail": pa.array(random.choice(names, rows, p=tail / tail.sum())),
        "code": pa.array(random.choice(codes, rows, p=[0.4, 0.3, 0.299, 0.001])),
        "id": pa.array([f"id{number}" for number in random.integers(0, 10**9, rows)]),
        "seldom": pa.array(random.random(rows) < 0.002),
    }


def integers(random: np.random.Generator, rows: int) -> Columns:
    return {
        "count": pa.array(random.poisson(3, rows)),
        "large": pa.array(random.integers(-(2**40), 2**40, rows)),
        "flag": pa.array((random.random(rows) < 0.003).astype(np.int64)),
        "few": some(random.integers(0, 5, rows), random, 0.01),
    }


SHAPES: dict[str, Callable[[np.random.Generator, int], Columns]] = {
    "sparse": sparse,
    "wide": wide,
    "categorical": categorical,
    "integers": integers,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_second_sample_passes_and_what_is_wrong_is_found(step, tmp_path, shape):
    random = np.random.default_rng(7)
    first, second = (pa.table(SHAPES[shape](random, rows)) for rows in (1200, 500))
    inferred = step(write_examples(tmp_path / "first", {"train": [first]}), to="inferred")
    schema = str(inferred.folder / "schema")
    healthy = step(write_examples(tmp_path / "second", {"train": [second]}), to="healthy", schema_uri=schema)
    assert healthy.parameters["anomaly_count"] == 0, healthy.out

    for name in second.column_names[:2]:
        position = second.schema.get_field_index(name)
        dropped = write_examples(tmp_path / f"no {name}", {"train": [second.drop([name])]})
        found = step(dropped, to=f"no {name} found", schema_uri=schema)
        assert f"{name!r}: The column is in the schema but not in the data" in found.out
        if second.schema.field(name).type == pa.string():
            continue  # all else can be read as text
        words = second.set_column(position, name, pa.array(["word"] * 500))
        found = step(
            write_examples(tmp_path / f"words {name}", {"train": [words]}), to=f"words {name} found", schema_uri=schema
        )
        assert f"{name!r}: " in found.out
        assert not found.parameters["valid"]


def test_a_new_class_that_is_not_rare_is_found(step, tmp_path):
    known = pa.table({"class": ["a", "b"] * 100})
    new = pa.table({"class": ["a", "b", "c", "c"] * 25})
    inferred = step(write_examples(tmp_path / "known", {"train": [known], "eval": [new]}))
    assert "eval: 'class'" in inferred.out and "c" in inferred.out
    assert inferred.parameters["anomaly_count"] == 1


def test_few_missing_values_outside_the_training_split_make_a_feature_optional_and_many_do_not(step, tmp_path):
    train = pa.table({"a": [1.0] * 600, "b": [1.0] * 600})
    evaluated = pa.table({"a": [None, None] + [1.0] * 148, "b": [None] * 75 + [1.0] * 75})
    outcome = step(write_examples(tmp_path / "examples", {"train": [train], "eval": [evaluated]}))
    schema = text_format.Parse((outcome.folder / "schema").read_text(), schema_pb2.Schema())
    assert [feature.HasField("shape") for feature in schema.feature] == [False, True]
    assert outcome.parameters["anomaly_count"] == 1
    assert "eval: 'b'" in outcome.out
