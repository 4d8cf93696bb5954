from types import ModuleType

import pytest

from stepkit.errors import StepError
from trainkit.hyperparameters import default_hyperparameters, described, merge_hyperparameters


def module(**names) -> ModuleType:
    made = ModuleType("pipeline_module")
    vars(made).update(names)
    return made


def test_defaults_are_a_copy():
    given = {"units": 8}
    found = default_hyperparameters(module(DEFAULT_HYPERPARAMETERS=given))
    assert found == given and found is not given
    assert default_hyperparameters(module()) == {}


@pytest.mark.parametrize(
    ("defaults", "problem"),
    [([1], "an object of type 'list'. Make it a dict"), ({"a": {1, 2}}, "can't be written as JSON")],
)
def test_defaults_that_can_not_be(defaults, problem):
    with pytest.raises(StepError, match="DEFAULT_HYPERPARAMETERS") as error:
        default_hyperparameters(module(DEFAULT_HYPERPARAMETERS=defaults))
    assert problem in str(error.value)


def test_overrides_name_what_there_is():
    assert merge_hyperparameters({"units": 8, "rate": 1}, {"units": 2}) == {"units": 2, "rate": 1}
    assert merge_hyperparameters({}, {"anything": 2}) == {"anything": 2}
    with pytest.raises(StepError, match="Did you mean 'units'"):
        merge_hyperparameters({"units": 8}, {"unit": 2})


def test_what_errors_call_a_value():
    assert [described(value) for value in (None, 3)] == ["None", "an object of type 'int'"]
