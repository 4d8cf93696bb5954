"""Whole runs of every task: numbers as scikit-learn has them, what pages and KFP show, thresholds, and bad input."""

import json

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as sk
from conftest import write_examples
from many_tasks import CLASSES, GOOD, LABELS, TAGS, WORSE, make_table, predict, step_of, write_all, write_model

from stepkit import tasks


@pytest.fixture(scope="module", name="shared")
def fixture_shared(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module", name="table")
def fixture_table():
    return make_table()


def close(value):
    return pytest.approx(value, rel=2e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_as_scikit_learn_has_it(tmp_path, shared, table, weighted):
    step = step_of(tmp_path, shared, tasks.REGRESSION, tasks.REGRESSION + "_weighted" * weighted)
    names = ["MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "RootMeanSquaredError", "R2Score"]
    quantiles = [
        {"class_name": "QuantileLoss", "config": {"quantile": 0.9}, "name": "Q90"},
        {"class_name": "QuantileLoss", "name": "Q50"},
    ]
    assert step.run(metrics_config=[*names, *quantiles], slices=["group"], thresholds={"Q90": {"upper": 9.0}}) == 0
    label, predicted = np.array(table["y"]), predict(tasks.REGRESSION, table)
    weights = np.array(table["weight"]) if weighted else None
    found = step.json("metrics")
    assert found["MeanSquaredError"] == close(sk.mean_squared_error(label, predicted, sample_weight=weights))
    assert found["MeanAbsoluteError"] == close(sk.mean_absolute_error(label, predicted, sample_weight=weights))
    percentage = 100 * sk.mean_absolute_percentage_error(label, predicted, sample_weight=weights)
    assert found["MeanAbsolutePercentageError"] == close(percentage)
    assert found["RootMeanSquaredError"] == close(sk.root_mean_squared_error(label, predicted, sample_weight=weights))
    assert found["R2Score"] == close(sk.r2_score(label, predicted, sample_weight=weights))
    for name, quantile in (("Q90", 0.9), ("Q50", 0.5)):
        expected = sk.mean_pinball_loss(label, predicted, sample_weight=weights, alpha=quantile)
        assert found[name] == close(expected), name
    assert step.text("reason") == "the threshold is met; no champion to compare with"
    assert step.json("classification_metrics") == {}
    page = step.text("report")
    for words in ("Predicted against actual", "Residuals", "group=north", "regression"):
        assert words in page
    assert "ROC" not in page


@pytest.mark.parametrize("weighted", [False, True])
def test_classes_as_scikit_learn_has_them(tmp_path, shared, table, weighted):
    step = step_of(tmp_path, shared, tasks.MULTICLASS, tasks.MULTICLASS + "_weighted" * weighted)
    averages = [
        {"class_name": f"Multiclass{name}", "aggregate": average, "per_class": average == "macro"}
        for name in ("F1Score", "Precision", "Recall")
        for average in ("macro", "micro", "weighted")
    ]
    plain = ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", {"class_name": "AUC", "aggregate": "macro"}]
    assert step.run(metrics_config=[*plain, *averages], thresholds={"MulticlassF1Score_bee": {"lower": 0.99}}) == 0
    scores = predict(tasks.MULTICLASS, table)
    label = np.array(table["kind"])
    predicted = np.array(CLASSES)[scores.argmax(1)]
    weights = np.array(table["weight"]) if weighted else None
    found = step.json("metrics")
    assert found["SparseCategoricalAccuracy"] == close(sk.accuracy_score(label, predicted, sample_weight=weights))
    loss = sk.log_loss(label, scores, sample_weight=weights, labels=list(CLASSES))
    assert found["SparseCategoricalCrossentropy"] == close(loss)
    area = sk.roc_auc_score(label, scores, multi_class="ovr", labels=list(CLASSES)) if not weighted else None
    assert area is None or found["AUC_macro"] == pytest.approx(area, abs=1e-3)
    for average in ("macro", "micro", "weighted"):
        for name, function in (
            ("F1Score", sk.f1_score),
            ("Precision", sk.precision_score),
            ("Recall", sk.recall_score),
        ):
            expected = function(label, predicted, average=average, sample_weight=weights)
            assert found[f"Multiclass{name}_{average}"] == close(expected), (name, average)
    each = sk.f1_score(label, predicted, average=None, labels=list(CLASSES), sample_weight=weights)
    assert [found[f"MulticlassF1Score_{name}"] for name in CLASSES] == close(each.tolist())
    assert step.text("reason").startswith("MulticlassF1Score_bee 0.")
    assert step.text("reason").endswith("is below its lower bound 0.99")

    shown = step.json("classification_metrics")
    matrix = sk.confusion_matrix(label, predicted, labels=list(CLASSES), sample_weight=weights)
    assert [row["row"] for row in shown["confusionMatrix"]["rows"]] == np.round(matrix).astype(int).tolist()
    assert [item["displayName"] for item in shown["confusionMatrix"]["annotationSpecs"]] == list(CLASSES)
    assert "confidenceMetrics" not in shown
    page = step.text("report")
    for words in ("predicted crow", "Precision and recall", "Calibration", "multiclass"):
        assert words in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("task", "weights", "named"),
    [
        (tasks.MULTICLASS, GOOD, ""),
        (tasks.MULTICLASS, [*GOOD[:2], [0, 0, -100]], "'crow'"),
        (tasks.MULTICLASS, [[0, 0, 100], *GOOD[1:]], "'bee', 'crow'"),
        (tasks.BINARY, [[0, 0, -1]] * 3, "'yes'"),
    ],
)
def test_classes_that_are_never_predicted_are_named(tmp_path, shared, capsys, task, weights, named):
    step = step_of(tmp_path, shared, task)
    assert step.run(model=write_model(tmp_path / "model", task, np.array(weights))) == 0
    warning = f"evaluate: warning: the model never predicts {named} on split 'eval'"
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if "warning" in line] == ([warning] if named else [])
    shown = f"Never predicted</span>: {named.replace(chr(39), '')}</p>"
    assert (shown if named else "predicted crow") in step.text("report")
    assert ("Never predicted" in step.text("report")) == bool(named)


def test_many_labels_as_scikit_learn_has_them(tmp_path, shared, table):
    step = step_of(tmp_path, shared, tasks.MULTILABEL)
    assert step.run(thresholds={"F1Score_macro": {"lower": 0.5}, "AUC_macro": {"lower": 0.5}}) == 0
    scores, label = predict(tasks.MULTILABEL, table), np.stack([table[name] for name in TAGS], 1)
    found = step.json("metrics")
    for average in ("macro", "micro"):
        assert found[f"F1Score_{average}"] == close(sk.f1_score(label, scores > 0.5, average=average))
    assert found["AUC_macro"] == pytest.approx(sk.roc_auc_score(label, scores, average="macro"), abs=1e-3)
    assert found["BinaryAccuracy"] == close(np.mean((scores > 0.5) == label))
    assert step.text("blessed") == "true"
    assert TAGS[1] in step.text("report")


@pytest.mark.parametrize("task", tasks.TASKS)
def test_against_a_champion_whose_classes_have_another_order(tmp_path, shared, task):
    step = step_of(tmp_path, shared, task)
    metric = {tasks.BINARY: "AUC", tasks.REGRESSION: "R2Score"}.get(task, "AUC_macro")
    inputs = {"thresholds": {metric: {"min_change": 0.01, "slices": True}}, "slices": ["group"]}
    assert step.run(baseline_model_uri=shared / f"{task}_worse_reversed", **inputs) == 0
    assert step.text("reason") == "the threshold is met; compared with the baseline"
    found = step.json("metrics")
    assert step.run(model=shared / f"{task}_worse", baseline_model_uri=shared / task, **inputs) == 0
    assert step.text("blessed") == "false"
    swapped = step.json("metrics")
    assert swapped["baseline"][metric] == close(found[metric])
    assert swapped[metric] == close(found["baseline"][metric])


def test_weighted_averages_can_be_judged(tmp_path, shared):
    step = step_of(tmp_path, shared, tasks.MULTICLASS)
    averages = [{"class_name": "AUC", "aggregate": "weighted"}, {"class_name": "F1Score", "aggregate": "micro"}]
    bounds = {"AUC_weighted": {"lower": 0.5}, "F1Score_micro": {"lower": 0.5}}
    assert step.run(metrics_config=averages, thresholds=bounds) == 0
    assert step.text("reason") == "all 2 thresholds are met; no champion to compare with"
    assert step.run(metrics_config=averages, thresholds={"AUC_weighted": {"lower": 0.999}}) == 0
    assert step.text("blessed") == "false"


def test_what_is_drawn_of_a_regression_is_the_same_in_any_order(shared, tmp_path, table, monkeypatch):
    monkeypatch.setattr("evaluate.drawing.DOTS", 50)
    first = step_of(tmp_path / "first", shared, tasks.REGRESSION)
    assert first.run() == 0
    examples = write_examples(tmp_path / "examples", table.take(pa.array(np.arange(len(table))[::-1])), shards=2)
    second = step_of(tmp_path / "second", shared, tasks.REGRESSION)
    assert second.run(examples=examples) == 0
    assert second.text("report") == first.text("report")


@pytest.fixture(name="fails")
def fixture_fails(tmp_path, shared, capsys):
    """Runs a step that has to fail, and returns its message."""

    def run(task: str, **inputs) -> str:
        step = step_of(tmp_path, shared, task)
        assert step.run(**inputs) == 1
        message = capsys.readouterr().err
        assert "Traceback" not in message
        assert step.nothing_written()
        return message

    return run


def replaced(table, folder, **columns):
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, pa.array(values, table.schema.field(index).type))
    return write_examples(folder / "changed", table)


def test_class_that_the_model_does_not_know(fails, tmp_path, table):
    kinds = ["dove", *table["kind"].to_pylist()[1:]]
    message = fails(tasks.MULTICLASS, examples=replaced(table, tmp_path, kind=kinds))
    assert "Label 'kind' is 'dove' in some rows of split 'eval', a class that the model doesn't know" in message
    assert "('ant', 'bee', 'crow')" in message
    message = fails(
        tasks.BINARY, examples=replaced(table, tmp_path / "b", yes=["maybe", *table["yes"].to_pylist()[1:]])
    )
    assert "Label 'yes' is 'maybe' in some rows" in message


@pytest.mark.parametrize(
    ("task", "columns", "value", "words"),
    [
        (tasks.MULTICLASS, "kind", "bee", "Label 'kind' is bee in all 300 rows"),
        (
            tasks.REGRESSION,
            "y",
            4.0,
            "Label 'y' is 4 in all 300 rows of split 'eval': a model can't be judged on a target",
        ),
        (tasks.MULTILABEL, TAGS, 1.0, "Label 'tags' is 1 in all 300 rows"),
        (tasks.REGRESSION, "y", float("inf"), "Label 'y' is NaN or infinite in 300 of the 300 rows"),
        (tasks.MULTILABEL, "blue", 2.0, "Label 'tags' is 2 in some rows; multilabel needs 0 or 1"),
    ],
)
def test_labels_that_can_not_be_judged(fails, tmp_path, table, task, columns, value, words):
    names = [columns] if isinstance(columns, str) else columns
    assert words in fails(task, examples=replaced(table, tmp_path, **{name: [value] * len(table) for name in names}))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1.0, "Weight 'weight' is -1 in some rows of split 'eval'; none may be negative"),
        (0.0, "Weight 'weight' is 0 in all 300 rows of split 'eval': none of them counts"),
        (float("nan"), "Weight 'weight' is NaN or infinite in 300 of the 300 rows"),
    ],
)
def test_weights_that_can_not_be(fails, shared, tmp_path, table, value, words):
    examples = replaced(table, tmp_path, weight=[value] * len(table))
    assert words in fails(tasks.REGRESSION, model=shared / "regression_weighted", examples=examples)


@pytest.mark.parametrize(
    ("task", "kind", "words"),
    [
        (
            tasks.MULTICLASS,
            "sigmoid",
            "those of 3 classes of which one is right sum to 1. End the model with a softmax.",
        ),
        (tasks.MULTICLASS, "logits", "which are no probabilities. End the model with a softmax."),
        (tasks.MULTICLASS, "narrow", "must be 3 numbers a row, one for each class; for 300 rows its shape is [300, 2]"),
        (tasks.MULTILABEL, "logits", "which are no probabilities. End the model with a sigmoid."),
        (tasks.REGRESSION, "nan", "predicted NaN or infinity"),
    ],
)
def test_answers_that_do_not_fit(fails, tmp_path, table, task, kind, words):
    examples = write_examples(tmp_path / "examples", table, shards=1)
    if kind == "nan":
        model = write_model(tmp_path / "model", task, np.full((3, 3), np.nan))
    else:
        model = write_model(tmp_path / "model", task, kind=kind)
    assert words in fails(task, model=model, examples=examples)


def test_champion_of_another_task_label_or_classes(fails, shared, tmp_path):
    message = fails(tasks.MULTICLASS, baseline_model_uri=shared / tasks.REGRESSION)
    assert "is a regression model and the candidate a multiclass one: they can't be compared" in message
    other = write_model(tmp_path / "other", tasks.MULTICLASS, WORSE)
    path = other / "assets.extra" / "model.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(said | {"classes": ["ant", "bee", "dog"]}), encoding="utf-8")
    message = fails(tasks.MULTICLASS, baseline_model_uri=other)
    assert "predict other classes (it has 'dog' alone; the candidate has 'crow' alone)" in message
    path.write_text(json.dumps(said | {"label": "sort"}), encoding="utf-8")
    assert "predicts 'sort' and the candidate 'kind'" in fails(tasks.MULTICLASS, baseline_model_uri=other)
    path.unlink()
    message = fails(tasks.MULTICLASS, baseline_model_uri=other)
    assert "is a binary model and the candidate a multiclass one" in message


def test_label_that_the_model_does_not_predict(fails):
    assert "predicts 'y'; --label-key says 'x_scaled'" in fails(tasks.REGRESSION, label_key="x_scaled")


@pytest.mark.parametrize(
    ("task", "metric", "words"),
    [
        (tasks.REGRESSION, "AUC", "'AUC', which doesn't fit a regression model. Of those that do: Calibration, "),
        (tasks.MULTICLASS, "R2Score", "doesn't fit a multiclass model"),
        (tasks.MULTICLASS, "CategoricalAccuracy", "SparseCategoricalAccuracy"),
        (tasks.BINARY, "SparseCategoricalAccuracy", "doesn't fit a binary model"),
        (tasks.BINARY, "MulticlassF1Score", "doesn't fit a binary model"),
        (tasks.REGRESSION, "NDCG", "doesn't fit a regression model"),
        (tasks.REGRESSION, "R2Scor", "which is no metric of TFMA. Did you mean 'R2Score'"),
        (
            tasks.MULTICLASS,
            {"class_name": "AUC", "aggregate": "makro"},
            "aggregate is 'makro'. Did you mean 'macro' or",
        ),
        (tasks.MULTICLASS, {"class_name": "AUC", "agregate": "macro"}, "unknown key 'agregate'"),
        (tasks.MULTICLASS, {"class_name": "AUC", "top_k": [4]}, "top_k of AUC is 4; there are 3 classes"),
        (tasks.MULTICLASS, {"class_name": "AUC", "top_k": [0]}, "top_k must be numbers of classes such as [1, 3]"),
        (
            tasks.REGRESSION,
            {"class_name": "MeanLabel", "per_class": True},
            "per_class of MeanLabel is for models of many",
        ),
        (
            tasks.MULTICLASS,
            {"class_name": "SparseTopKCategoricalAccuracy", "top_k": [2]},
            'it takes {"config": {"k": 3}}',
        ),
        (tasks.REGRESSION, {"class_name": "QuantileLoss", "config": {"quantile": 2}}, "between 0 and 1, not 2"),
        (
            tasks.BINARY,
            {"class_name": "PrecisionAtRecall", "config": {"recal": 0.8}},
            "can't be used with the parameters",
        ),
        (
            tasks.BINARY,
            {"class_name": "Precision", "name": "auc"},
            "'auc' is the name of two metrics, as TFMA calls AUC so",
        ),
        (tasks.BINARY, {"class_name": "Precision", "name": "AUC"}, "two metrics would be called 'AUC'"),
    ],
)
def test_metrics_that_do_not_fit(fails, task, metric, words):
    also = ["AUC"] if task == tasks.BINARY else []
    assert words in fails(task, metrics_config=[*also, metric])


def test_thresholds_name_metrics_as_they_are_shown(fails):
    listed = [{"class_name": "AUC", "aggregate": "macro", "per_class": True}]
    message = fails(tasks.MULTICLASS, metrics_config=listed, thresholds={"AUC_be": {"lower": 0.5}})
    assert "Did you mean 'AUC_bee'" in message
    assert "There are: 'AUC_ant', 'AUC_bee', 'AUC_crow', 'AUC_macro'." in message


def test_two_parameters_of_one_metric_have_names(tmp_path, shared):
    step = step_of(tmp_path, shared, tasks.BINARY)
    listed = [
        {"class_name": "PrecisionAtRecall", "config": {"recall": recall}, "name": f"precision at {recall}"}
        for recall in (0.5, 0.8)
    ]
    assert step.run(metrics_config=listed, thresholds={"precision at 0.8": {"lower": 0.2}}) == 0
    found = step.json("metrics")
    assert 0 < found["precision at 0.8"] <= found["precision at 0.5"] <= 1
    assert LABELS[tasks.BINARY] == "yes" and step.text("blessed") == "true"


@pytest.mark.parametrize("weighted", [False, True])
def test_operating_point_is_chosen_on_one_split_and_judged_on_another(tmp_path, shared, table, weighted):
    rows = make_table().slice(0, 150)
    examples = write_examples(tmp_path / "examples", table, split="eval")
    write_examples(tmp_path / "other", rows, split="test")
    (tmp_path / "other" / "test").rename(examples / "test")
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("examples", "other")]
    manifests[0]["splits"] |= manifests[1]["splits"]
    (examples / "manifest.json").write_text(json.dumps(manifests[0]), encoding="utf-8")
    step = step_of(tmp_path, shared, tasks.BINARY, tasks.BINARY + "_weighted" * weighted)
    point = tmp_path / "point.json"
    target = {"metric": "precision", "at_least": 0.9, "maximise": "recall"}
    inputs = {"examples": examples, "eval_split": "test", "operating_point_target": target, "operating_point": point}
    assert step.run(thresholds={"Recall_at_operating_point": {"lower": 0.99}}, **inputs) == 0
    assert step.text("reason").startswith("Recall_at_operating_point 0.")

    said = json.loads(point.read_text(encoding="utf-8"))
    assert said["target"] == target

    def at(names, threshold):
        label, scores = np.array(names["yes"]) == "yes", predict(tasks.BINARY, names)
        weights = np.array(names["weight"]) if weighted else None
        return [f(label, scores > threshold, sample_weight=weights) for f in (sk.precision_score, sk.recall_score)]

    for split, names in (("eval", table), ("test", rows)):
        reached = said["splits"][split]
        assert [reached["Precision"], reached["Recall"]] == close(at(names, said["threshold"]))
    assert step.json("metrics")["Recall_at_operating_point"] == said["splits"]["test"]["Recall"]
    assert said["splits"]["eval"]["Precision"] >= 0.9
    recalls = [at(table, score - 1e-7) for score in predict(tasks.BINARY, table)]
    best = max(recall for precision, recall in recalls if precision >= 0.9)
    assert said["splits"]["eval"]["Recall"] == close(best)


@pytest.mark.parametrize(
    ("task", "target", "words"),
    [
        (tasks.BINARY, {"metric": "precision", "at_least": 1.0}, ""),
        (tasks.BINARY, {"metric": "precison", "at_least": 0.5}, "metric is 'precison'. Did you mean 'precision'?"),
        (tasks.BINARY, {"metric": "recall", "at_least": 2}, "at_least is 2; it must be from 0 to 1"),
        (tasks.BINARY, {"metric": "recall", "atleast": 0.5}, "unknown key 'atleast'. Did you mean 'at_least'?"),
        (tasks.MULTICLASS, {"metric": "recall", "at_least": 0.5}, "is for binary models; this one is multiclass"),
    ],
)
def test_operating_point_that_can_not_be(fails, shared, tmp_path, table, task, target, words):
    inputs = {}
    if not words:  # the highest score gets a wrong label
        answers = table["yes"].to_pylist()
        answers[int(predict(task, table).argmax())] = "no"
        inputs = {"examples": replaced(table, tmp_path, yes=answers)}
        words = "The operating point can't be met: no threshold gives a precision of at least 1 on split 'eval'"
    assert words in fails(task, operating_point_target=target, **inputs)
