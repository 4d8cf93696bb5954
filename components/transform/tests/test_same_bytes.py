"""The same data and module give the same bytes, whatever process computes them."""

import pytest
from conftest import MODULE, SCHEMA, _prepared

from stepkit import testing

# A table without a file besides: TensorFlow gives those a random name.
WITH_TABLE = MODULE.replace(
    "    return {\n",
    """    named = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["Oslo"], [1.0]), 0.0)
    return {
        "is_oslo": named.lookup(city),
""",
)


@pytest.mark.parametrize("beam", [False, True], ids=["in process", "on Beam"])
def test_the_same_inputs_give_the_same_bytes(tmp_path, beam):
    prepared = _prepared(tmp_path)
    (prepared.examples / "schema.pbtxt").write_text(SCHEMA, encoding="utf-8")

    def arguments(given, out):
        return [
            *("--examples", str(given), "--schema", str(given / "schema.pbtxt"), "--module", WITH_TABLE),
            *("--transform-graph", str(out / "graph"), "--transformed-examples", str(out / "transformed")),
            *(["--beam-args", '["--runner=FnApiRunner"]'] if beam else ["--analysis-cache-uri", str(out / "cache")]),
        ]

    first, second = testing.run_in_unlike_places("transform", prepared.examples, arguments, tmp_path)
    assert {"graph/transform_fn/saved_model.pb", "graph/transform_fn/fingerprint.pb"} < set(first)
    assert first == second
