"""A version is loaded as train exports it, and answers as TensorFlow's own loader does."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ARGUMENTS, CLASSES, COLUMNS, DESCRIPTION, THRESHOLD, export, score
from model_server import saved_models, statistics

from stepkit import tasks
from stepkit.errors import StepError
from stepkit.model_description import ModelDescription


def answer(model: saved_models.LoadedModel, *rows: Any) -> list[Any]:
    values = model.reader.of_instances(rows)
    return model.answers.predictions(model.ask(model.reader.tensors(values, len(rows))))


def test_columns_are_called_as_in_the_data_and_required_where_the_graph_has_no_default(model: Path) -> None:
    loaded = saved_models.load(model)
    assert loaded.reader.columns == COLUMNS
    assert (loaded.answers.classes, loaded.answers.threshold) == (CLASSES, THRESHOLD)


def test_it_answers_as_the_other_signature_does(model: Path) -> None:
    import tensorflow as tf

    rows = [{"miles": 1.5, "area": 3, "Company Name": "abc", "tags.all": ["x", "y"]}, {"miles": 0.5}]
    features = {
        "miles": lambda value: tf.train.Feature(float_list=tf.train.FloatList(value=[value])),
        "area": lambda value: tf.train.Feature(int64_list=tf.train.Int64List(value=[value])),
        "Company Name": lambda value: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()])),
        "tags.all": lambda value: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in value])),
    }
    examples = [
        tf.train.Example(
            features=tf.train.Features(feature={name: features[name](value) for name, value in row.items()})
        ).SerializeToString()
        for row in rows
    ]
    expected = tf.saved_model.load(str(model)).signatures["serving_default"](examples=tf.constant(examples))
    found = [each["probability"] for each in answer(saved_models.load(model), *rows)]
    assert found == pytest.approx(expected["probabilities"][:, 0].numpy().tolist(), abs=1e-6)
    assert found == pytest.approx([score(1.5, 3, "abc", 2), score(0.5)], abs=1e-6)


@pytest.mark.parametrize("rows", [1, 300])
def test_few_rows_and_many_are_answered_alike(model: Path, rows: int) -> None:
    loaded = saved_models.load(model)
    found = answer(loaded, *({"miles": number / 100} for number in range(rows)))
    assert [each["probability"] for each in found] == pytest.approx([score(n / 100) for n in range(rows)], abs=1e-6)


@pytest.mark.parametrize(
    ("task", "classes", "expected"),
    [
        (tasks.MULTICLASS, ("a", "b", "c"), {"class": "a"}),
        (tasks.MULTILABEL, (1, 2, 3), {"classes": [1], "threshold": 0.5}),
        (tasks.REGRESSION, (), {"prediction": 3.0}),
    ],
)
def test_each_task(tmp_path: Path, task: str, classes: tuple[Any, ...], expected: dict[str, Any]) -> None:
    import tensorflow as tf

    description = dataclasses.replace(DESCRIPTION, task=task, classes=classes)
    last = {tasks.MULTICLASS: tf.nn.softmax, tasks.MULTILABEL: tf.sigmoid, tasks.REGRESSION: tf.identity}[task]
    loaded = saved_models.load(export(tmp_path / "1", description, len(classes) or 1, last))
    (found,) = answer(loaded, {"miles": 5})
    assert found.items() >= expected.items()
    assert list(found.get("scores", {})) == [str(name) for name in classes]


def test_a_model_of_keras_whose_variables_are_restored_as_copies_alone(tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    module = tf.Module()
    module.layer = keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant(2.0))
    module.layer.build((None, 1))

    @tf.function(input_signature=[{"miles": tf.TensorSpec([None, 1], tf.float32, name="miles")}])
    def by_columns(raw: Any) -> dict[str, Any]:
        return {"predictions": module.layer(raw["miles"])}

    tf.saved_model.save(module, str(tmp_path), signatures={"serve_raw": by_columns})
    description = ModelDescription("tip", tasks.REGRESSION, arguments={"miles": "miles"})
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra/model.json").write_text(description.to_json())
    assert answer(saved_models.load(tmp_path), {"miles": 3}) == [{"prediction": 6.0}]


def test_a_model_from_before_descriptions(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "1")
    (tmp_path / "1/assets.extra/model.json").unlink()
    (tmp_path / "1/assets.extra/operating_point.json").unlink()
    loaded = saved_models.load(tmp_path / "1")
    assert sorted(loaded.reader.by_name) == sorted(ARGUMENTS.values())
    (found,) = answer(loaded, {"miles": 5})
    assert (found["class"], found["threshold"]) == (1, 0.5)


def test_what_cant_be_served(model: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="isn't a SavedModel"):
        saved_models.load(tmp_path)
    shutil.copytree(model, tmp_path / "1")
    described = tmp_path / "1/assets.extra/model.json"
    described.write_text(dataclasses.replace(DESCRIPTION, task=tasks.REGRESSION, classes=()).to_json())
    with pytest.raises(StepError, match="doesn't give 'predictions', the answer to the task 'regression'"):
        saved_models.load(tmp_path / "1")
    described.write_text(dataclasses.replace(DESCRIPTION, arguments={"miles": "mile"}).to_json())
    with pytest.raises(StepError, match="has the argument 'mile', which 'serve_raw' hasn't. Did you mean 'miles'"):
        saved_models.load(tmp_path / "1")
    described.write_text(DESCRIPTION.to_json())
    (tmp_path / "1/assets.extra/operating_point.json").write_text(json.dumps({"thresh": 1}))
    with pytest.raises(StepError, match="has no threshold"):
        saved_models.load(tmp_path / "1")
    (tmp_path / "1/saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(StepError, match="can't be loaded"):
        saved_models.load(tmp_path / "1")


def test_statistics_give_a_typical_row_and_the_label_s_range(tmp_path: Path) -> None:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    found = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = found.datasets.add()
    miles = dataset.features.add(name="miles")
    miles.num_stats.min, miles.num_stats.max, miles.num_stats.median = 0.5, 20.5, 2.25
    company = dataset.features.add()
    company.path.step.append("Company Name")
    company.string_stats.top_values.add(value="Yellow", frequency=3)
    record = found.SerializeToString()
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra/stats.tfrecord").write_bytes(
        len(record).to_bytes(8, "little") + b"crc1" + record + b"crc2"
    )
    read = statistics.read(tmp_path)
    assert statistics.example(read, COLUMNS) == {"miles": 2.25, "Company Name": "Yellow", "area": 0, "tags.all": [""]}
    assert statistics.label_range(read, "miles") == (0.5, 20.5)
    assert statistics.label_range(read, "Company Name") is None
    assert statistics.read(tmp_path / "nowhere") == {}
