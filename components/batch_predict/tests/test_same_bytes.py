"""The same examples and model give the same bytes, whatever process scores."""

from stepkit import testing


def test_the_same_inputs_give_the_same_bytes(model, examples, tmp_path):
    def arguments(given, out):
        return ["--examples", str(given), "--model", str(model), "--predictions", str(out / "predictions")]

    first, second = testing.run_in_unlike_places("batch_predict", examples, arguments, tmp_path)
    assert "predictions/eval/part-00001.parquet" in first
    assert first == second
