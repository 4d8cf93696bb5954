"""What no model can learn from is refused before any is trained."""

import pyarrow as pa
import pytest
from conftest import write_examples

ROWS = 20
LABELS = {
    "missing": (
        [None, 1.0] * 10,
        "The label 'y' is missing in 10 of 20 rows of the split 'train'. Leave such",
    ),
    "infinite": ([float("inf"), 1.0] * 10, "The label 'y' has NaN or infinite values in the split 'train'"),
    "not a number": ([float("nan"), 1.0] * 10, "The label 'y' has NaN or infinite values in the split 'train'"),
    "constant": ([2.5] * 20, "The label 'y' is 2.5 in all rows of the split 'train'"),
    "constant text": (["no"] * 20, "The label 'y' is 'no' in all rows of the split 'train'"),
}
WEIGHTS = {
    "missing": ([None, 1.0] * 10, "The weight 'w' is missing in 10 of 20 rows"),
    "negative": ([-0.5, 1.0] * 10, "The weight 'w' goes down to -0.5 in the split 'train'"),
    "all 0": ([0] * 20, "The weight 'w' is 0 in all rows of the split 'train'"),
    "text": (["1", "2"] * 10, "The weight 'w' is no number"),
}


@pytest.mark.parametrize(("values", "message"), LABELS.values(), ids=LABELS)
def test_a_label_that_teaches_nothing(step, tmp_path, values, message):
    examples = write_examples(tmp_path / "examples", {"train": [pa.table({"x": range(ROWS), "y": values})]})
    step(examples, label_key="y").assert_refused(message)


@pytest.mark.parametrize(("values", "message"), WEIGHTS.values(), ids=WEIGHTS)
def test_a_weight_that_does_not_weigh(step, tmp_path, values, message):
    examples = write_examples(tmp_path / "examples", {"train": [pa.table({"x": range(ROWS), "w": values})]})
    step(examples, weight_key="w").assert_refused(message)


def test_what_is_in_order_or_made_later(step, tmp_path):
    train = pa.table({"y": [0, 1] * 10, "w": [0.0, 2.0] * 10})
    constant = pa.table({"y": [1] * 20, "w": [1.0] * 20})
    examples = write_examples(tmp_path / "examples", {"train": [train], "eval": [constant]})
    assert step(examples, label_key="y", weight_key="w").parameters["valid"]
    derived = step(examples, to="derived", label_key="made later")
    assert derived.code == 0
    assert "transform checks what it is made into" in derived.report
