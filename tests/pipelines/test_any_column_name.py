"""Columns have any name, from the table to a JSON answer of the pushed model, without a schema that was written.

The model is one of several labels a row, which no demo has.
"""

import csv
import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.checkout import ROOT
from whole_runs import Ran

PYTHON = ROOT / "components/train/.venv/bin/python"
NUMBERS = [
    *("hours per week", "party.facts.id", "hours-per-week", "od280/od315", "x[0]", "Fare (EUR)", "it's", 'say "hi"'),
    *("100%", "s:2", "größe", "年齢", "1st", "_under", "__", "{curly}", "back\\slash", "a,b", "select", "?"),
    *("a b", "a-b", "a_b", "a.b"),  # the same once mapped
]
GROUP = "group [%]"
TAGS = {"tag: süß": "süß", "tag: c/d": "c/d"}  # column to class
ROWS = 240

PIPELINE = """
from pathlib import Path

from kfp import dsl

from pipeyard.component_store import ComponentStore

HERE = Path(__file__).parent
MODULE = (HERE / "module.py").read_text(encoding="utf-8")
components = ComponentStore(local_search_paths=[HERE.parents[1] / "components"]).load_components(
    "extract", "data_validation", "transform", "train", "evaluate", "deploy"
)


@dsl.pipeline(name="odd-names")
def odd_names(source: str, serving_uri: str, registry_uri: str):
    extract = components.extract(source=source, split_key={split_key!r})
    examples = extract.outputs["examples"]
    validation = components.data_validation(examples=examples, slices=[{group!r}])
    transform = components.transform(
        examples=examples, schema=validation.outputs["schema"], module=MODULE, label_key="label"
    )
    train = components.train(
        transformed_examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        label_key="label",
        module=MODULE,
        epochs=1,
    )
    schema = transform.outputs["raw_schema"]
    evaluation = components.evaluate(
        examples=examples,
        schema=schema,
        model=train.outputs["model"],
        label_key="label",
        module=MODULE,
        slices=[{group!r}],
    )
    components.deploy(
        model=train.outputs["model"],
        examples=examples,
        schema=schema,
        metrics=evaluation.outputs["metrics"],
        statistics=validation.outputs["statistics"],
        serving_uri=serving_uri,
        registry_uri=registry_uri,
        model_name="odd-names",
    )
"""
MODULE = """
import tensorflow as tf

NUMBERS = {numbers!r}
TAGS = {tags!r}
TASK = "multilabel"
CLASSES = list(TAGS.values())


def preprocessing_fn(inputs):
    import tensorflow_transform as tft

    outputs = {{f"f{{place}}": tft.scale_to_z_score(inputs[name]) for place, name in enumerate(NUMBERS)}}
    outputs["group"] = tft.compute_and_apply_vocabulary(inputs[{group!r}], num_oov_buckets=1)
    outputs["label"] = tf.concat([inputs[name] for name in TAGS], 1)
    return outputs


def build_model(transform, hyperparameters):
    import keras

    inputs = {{f"f{{place}}": keras.Input((1,), name=f"f{{place}}") for place in range(len(NUMBERS))}}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(len(CLASSES), activation="sigmoid")(joined))
    model.compile(optimizer="sgd", loss="binary_crossentropy")
    return model
"""


def _row(chance: random.Random, place: int) -> dict[str, object]:
    row: dict[str, object] = {name: round(chance.gauss(number, 1), 3) for number, name in enumerate(NUMBERS)}
    return {**row, GROUP: ("north", "süd")[place % 2], **{name: chance.randint(0, 1) for name in TAGS}}


@pytest.fixture(name="ran", scope="module")
def fixture_ran(project: Path, pipeyard_run: Callable[..., Ran]) -> Iterator[Ran]:
    chance = random.Random(3)
    rows = [_row(chance, place) for place in range(ROWS)]
    folder = project / "pipelines/odd_names"
    (folder / "data").mkdir(parents=True)
    with (folder / "data/odd.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    known = {"numbers": NUMBERS, "group": GROUP, "tags": TAGS, "split_key": NUMBERS[0]}
    (folder / "pipeline.py").write_text(PIPELINE.format(**known), encoding="utf-8")
    (folder / "module.py").write_text(MODULE.format(**known), encoding="utf-8")
    registry = f"sqlite:///{project}/registry/odd_names.db"
    ran = pipeyard_run("odd_names", source=str(folder / "data/odd.csv"), registry_uri=registry)
    yield ran
    shutil.rmtree(folder)


def test_a_model_of_odd_columns_is_pushed(ran: Ran) -> None:
    assert ran.code == 0, ran.text
    assert set(ran.states.values()) == {"SUCCEEDED"}
    manifest = json.loads((ran.artifact("extract", "examples") / "manifest.json").read_text(encoding="utf-8"))
    assert [column["name"] for column in manifest["columns"]] == [*NUMBERS, GROUP, *TAGS]
    assert f"{GROUP}=süd" in ran.artifact("evaluate", "report").read_text(encoding="utf-8")


def test_its_json_answer_is_of_the_columns_by_their_own_names(ran: Ran) -> None:
    row = _row(random.Random(4), 0)
    for name in TAGS:
        del row[name]  # a client doesn't send it
    # Beside the row itself, one a column in which that alone is another: an answer each, if names aren't mixed up.
    instances = [row, *({**row, name: row[name] + 1 + place / 10} for place, name in enumerate(NUMBERS))]
    told = subprocess.run(
        [PYTHON, Path(__file__).with_name("json_answer.py"), str(ran.output("pushed_uri"))],
        input=json.dumps({"instances": instances}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout.splitlines()[-1])
    by_row, by_example = answer["by_row"], answer["by_example"]
    assert len({tuple(each) for each in by_row}) == len(instances)
    assert len(by_row[0]) == len(TAGS)
    for found, expected in zip(by_row, by_example, strict=True):
        assert found == pytest.approx(expected, rel=1e-6)
