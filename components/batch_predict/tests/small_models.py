"""A small model of each task, exported as train does. tests/serving asks one, too."""

from pathlib import Path
from typing import Any

from stepkit import tasks
from stepkit.model_description import ModelDescription

# 0.3 as a double is below 0.3 as float32, which is what a score is: a row whose score is that is above the threshold.
THRESHOLD = 0.3
CLASSES: dict[str, tuple[tasks.Class, ...]] = {
    tasks.BINARY: ("no tip", "tip"),
    tasks.MULTICLASS: (10, 20, 30),
    tasks.MULTILABEL: ("a", "b b", "ä"),
    tasks.REGRESSION: (),
}
ARGUMENTS = {"miles": "miles", "area": "area", "Company Name": "Company_Name"}
TYPES = {"miles": "FLOAT", "area": "INT", "Company Name": "BYTES"}


def export(folder: Path, task: str) -> Path:
    """Exports a model as train does: `miles` required, the others not. A score of its first column is `miles`."""
    import tensorflow as tf

    description = ModelDescription("label", task, CLASSES[task], raw_types=TYPES, arguments=ARGUMENTS)
    width = len(CLASSES[task]) if task in (tasks.MULTICLASS, tasks.MULTILABEL) else 1

    def predict(miles: Any, area: Any, company: Any) -> dict[str, Any]:
        rest = tf.cast(area, tf.float32) / 8 + tf.cast(tf.strings.length(company), tf.float32) / 16
        answers = [miles, rest, miles - rest][:width] if width > 1 else [tf.where(area > 1, rest, miles)]
        return {description.answer: tf.concat(answers, 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def by_examples(examples: Any) -> dict[str, Any]:
        spec = {
            "miles": tf.io.FixedLenFeature([1], tf.float32),
            "area": tf.io.FixedLenFeature([1], tf.int64, tf.zeros([1], tf.int64)),
            "Company Name": tf.io.FixedLenFeature([1], tf.string, tf.constant([""])),
        }
        raw = tf.io.parse_example(examples, spec)
        return predict(raw["miles"], raw["area"], raw["Company Name"])

    columns = {
        "miles": tf.TensorSpec([None, 1], tf.float32, name="miles"),
        "area": tf.TensorSpec([None, 1], tf.int64, name="area"),
        "Company_Name": tf.TensorSpec([None, 1], tf.string, name="Company_Name"),
    }

    @tf.function(input_signature=[columns])
    def by_columns(raw: Any) -> dict[str, Any]:
        area = tf.where(raw["area"] == tf.int64.min, tf.constant(0, tf.int64), raw["area"])
        return predict(raw["miles"], area, raw["Company_Name"])

    tf.saved_model.save(tf.Module(), str(folder), signatures={"serving_default": by_examples, "serve_raw": by_columns})
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "model.json").write_text(description.to_json(), encoding="utf-8")
    if task in (tasks.BINARY, tasks.MULTILABEL):
        (extra / "operating_point.json").write_text(f'{{"threshold": {THRESHOLD}, "splits": {{}}}}', encoding="utf-8")
    return folder
