"""What is refused before training."""

import numpy as np
import pytest
from conftest import MODULE, TASKS, Step, rows, write_examples
from train_trees import dataset
from train_trees.boosting import State
from train_trees.cli import main

RETURNED = 'return dict(hyperparameters), ["company"], ["fare", "speed", "company", "stops"]'


def returning(text: str) -> str:
    assert RETURNED in MODULE
    return MODULE.replace(RETURNED, f"return {text}")


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ('{}, ["compny"]', "'compny', which is no transformed feature. Did you mean 'company'"),
        ('{}, [], ["fair"]', "'fair', which is no transformed feature. Did you mean 'fare'"),
        ('{}, [], ["fare", "big_tip"]', "'big_tip', which is the label (--label-key)"),
        ('{}, ["fare"], ["fare"]', "'fare' is categorical, but it is of type float32. Have preprocessing_fn return"),
        ('{}, ["company"], ["fare"]', "'company' is categorical, but it isn't among the features"),
        ('{}, [], ["kind"]', "'kind' is text, and trees take numbers"),
        ("{}, [], []", "names no feature"),
        ('{"booster": "dart"}, []', "booster 'dart', whose trees can't be exported; 'gbtree' can"),
        ('{"booster": "gblinear"}, []', "booster 'gblinear', whose trees can't be exported"),
        ('{"multi_strategy": "multi_output_tree"}, []', "multi_strategy 'multi_output_tree', whose trees can't"),
        ('{"max_dept": 3}, []', "'max_dept', which is no parameter that trees are trained with here. Did you mean"),
        ('{"seed": 3}, []', "gives seed, but it is --seed"),
        (
            '{"monotone_constraints": {"fair": 1}}, [], ["fare"]',
            "constrains 'fair', which isn't among its features. Did you mean",
        ),
        ('{"max_bin": "many"}, []', "gives max_bin 'many'. Give a whole number of 2 or more"),
        ('{"objective": "reg:squarederror"}, []', "TASK 'binary' has binary:logistic"),
        ("{}", "returned an object of type 'dict'. Return a pair"),
        ("[], []", "are an object of type 'list'. Make them a dict"),
        ('{}, "company"', "are an object of type 'str'. Make them a list"),
    ],
)
def test_what_the_module_returns(fails, returned, problem):
    assert problem in fails(returning(returned))


def test_a_module_without_the_function(fails):
    message = fails("def tree_parameter(transform, hyperparameters):\n    return {}, []\n")
    assert "defines no function 'tree_parameters'. Did you mean 'tree_parameter'" in message


def test_hyperparameters_that_the_module_has_not(fails):
    message = fails(hyperparameters='{"max_dept": 3}')
    assert "isn't in the pipeline module's DEFAULT_TREE_HYPERPARAMETERS. Did you mean 'max_depth'" in message


@pytest.mark.parametrize(
    "given", ['{"max_depth": -2}', '{"eta": "fast"}', '{"eta": 0.3, "monotone_constraints": [1, 2, 3, 4, 5, 6]}']
)
@pytest.mark.parametrize("check", [False, True])
def test_what_xgboost_refuses_is_known_before_the_data_are_read(step, capfd, monkeypatch, given, check):
    monkeypatch.delattr(dataset, "open_split")
    module = MODULE.replace('"max_depth": 4}', '"max_depth": 4, "monotone_constraints": ()}')
    assert main([*step.argv(module, hyperparameters=given), *(["--check"] if check else [])]) == 1
    assert "XGBoost can't train with what tree_parameters gives" in capfd.readouterr().err
    assert step.written() == []


@pytest.mark.parametrize("label", TASKS)
def test_parameters_are_tried_out_for_every_task(step, label):
    constrained = MODULE.replace("dict(hyperparameters)", "dict(hyperparameters, monotone_constraints={'fare': 1})")
    assert main([*step.argv(TASKS[label] + constrained, label_key=label), "--check"]) == 0


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("company", -1, "'company' has -1 in "),
        ("company", 2**24, "'company' has 16777216 in "),
        ("fare", np.inf, "'fare' is infinite in "),
    ],
)
def test_values_that_trees_are_not_trained_on(fails, tmp_path, column, value, problem):
    splits = {"train": rows(60, 1), "eval": rows(60, 2)}
    splits["eval"][column][7] = value
    examples = write_examples(tmp_path / "examples", splits)
    message = fails(transformed_examples=examples)
    assert problem in message and "part-00000.parquet' (split 'eval')" in message


def test_check_asks_the_module(step, capfd, tmp_path):
    arguments = step.argv(returning('{}, ["compny"]'))
    assert main([*arguments, "--check"]) == 1
    assert "Did you mean 'company'" in capfd.readouterr().err
    assert main([*step.argv(), "--check"]) == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("flag", "value"), [("rounds", 0), ("early_stopping_patience", -1), ("seed", 2**31)])
def test_numbers_that_can_not_be(examples, graph, tmp_path, capfd, flag, value):
    assert Step(examples, graph, tmp_path / "out").run(**{flag: value}) == 2
    assert f"--{flag.replace('_', '-')} is {value}; give" in capfd.readouterr().err


def test_damaged_state_is_not_used():
    packed = State([{"loss": 0.1 + 0.2}], 0, False, b"trees").pack()
    assert State.unpack(packed) == State([{"loss": 0.1 + 0.2}], 0, False, b"trees")
    assert State.unpack(packed[: len(packed) // 2]) is None
    assert State.unpack(b"") is None
