"""Features have any name, in statistics, slices, schema, anomalies and report."""

import html
import json

import pyarrow as pa
from conftest import write_examples
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

NAMES = [
    *("hours-per-week", "1st", "party.facts.id", "Fare (EUR)", "a/b", "x[0]", "it's", 'say "hi"', "100%", "k:v"),
    *("größe", "年齢", "_under", "__", "Case", "case", "a b", "a-b", "a_b", "{curly}", "back\\slash", "<t>"),
]


def test_all_names(step, tmp_path):
    columns = {name: [("x", "y")[row % 2] for row in range(40)] for name in NAMES}
    first = step(
        write_examples(tmp_path / "first", {"train": [pa.table(columns)]}),
        slices=json.dumps([*NAMES, ["a b", "a-b"]]),
    )
    schema = text_format.Parse((first.folder / "schema").read_text(), schema_pb2.Schema())
    assert [feature.name for feature in schema.feature] == NAMES
    assert first.parameters["valid"]
    for name in NAMES:
        assert first.statistics[f"train/{name}_x"].num_examples == 20
        assert html.escape(name, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in first.report
    assert {"train/a b_x_a-b_x", "train/a b_y_a-b_y"} <= set(first.statistics)

    strange = {name: ["z"] * 40 for name in NAMES}
    second = step(
        write_examples(tmp_path / "second", {"train": [pa.table(strange)]}),
        to="second out",
        schema_uri=str(first.folder / "schema"),
    )
    assert all(f"train: {name!r}: " in second.out for name in NAMES)
