"""The pipeline module's part: XGBoost's parameters, and which features are what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stepkit import modules
from stepkit.errors import StepError, near_misses
from train_trees import columns
from train_trees.columns import Column
from train_trees.objectives import OF_TASK, Objective
from trainkit.hyperparameters import ModuleNames, described
from trainkit.labels import Target
from trainkit.transform_graph import Transform

FUNCTION = "tree_parameters"
NAMES = ModuleNames(FUNCTION, "tree_hyperparameter_space", "DEFAULT_TREE_HYPERPARAMETERS")

_MONOTONE = "monotone_constraints"
# XGBoost's parameters that may be given, as "XGBoost Parameters" of its documentation names them.
_TAKEN = frozenset(
    [
        "alpha",
        "colsample_bylevel",
        "colsample_bynode",
        "colsample_bytree",
        "eta",
        "gamma",
        "grow_policy",
        "interaction_constraints",
        "lambda",
        "learning_rate",
        "max_bin",
        "max_cat_threshold",
        "max_cat_to_onehot",
        "max_delta_step",
        "max_depth",
        "max_leaves",
        "min_child_weight",
        "min_split_loss",
        _MONOTONE,
        "num_parallel_tree",
        "objective",
        "reg_alpha",
        "reg_lambda",
        "scale_pos_weight",
        "subsample",
    ]
)
_BINS = 256  # XGBoost's default of max_bin
# Those with one value that is the same as leaving them out.
_FIXED = {"booster": "gbtree", "multi_strategy": "one_output_per_tree", "tree_method": "hist", "device": "cpu"}
_DECIDED = {
    "seed": "it is --seed",
    "random_state": "it is --seed",
    "num_class": "the label's classes decide it",
    "eval_metric": "the task decides it",
    "early_stopping_rounds": "it is --early-stopping-patience",
    "n_estimators": "it is --rounds",
    "num_boost_round": "it is --rounds",
    "enable_categorical": "the categorical features are what the function returns beside the parameters",
    "feature_types": "the categorical features are what the function returns beside the parameters",
}


@dataclass(frozen=True)
class Recipe:
    """What trees are grown by.

    Attributes:
        given: XGBoost's parameters as the module gave them.
        objective: what is trained for.
        columns: what the trees get.
    """

    given: Mapping[str, Any]
    objective: Objective
    columns: tuple[Column, ...]

    @property
    def max_bin(self) -> int:
        """Most bins of a feature's values."""
        return int(self.given.get("max_bin", _BINS))

    def for_xgboost(self, target: Target, seed: int) -> dict[str, Any]:
        """Returns all parameters of a booster."""
        metrics = list(dict.fromkeys(each.evaluated for each in self.objective.metrics))
        several = {"num_class": target.outputs} if self.objective.name.startswith("multi:") else {}
        return {
            **self._constrained(),
            **_FIXED,
            **several,
            "objective": self.objective.name,
            "eval_metric": metrics,
            "seed": seed,
            "seed_per_iteration": True,  # so that a round draws the same after a restart
            "verbosity": 1,
        }

    def _constrained(self) -> dict[str, Any]:
        """Returns the parameters as given, with a constraint a column where the module names features."""
        given = dict(self.given)
        if isinstance(named := given.get(_MONOTONE), Mapping):
            given[_MONOTONE] = tuple(named.get(each.name, 0) for each in self.columns for _ in range(each.width))
        return given


def ask(module: ModuleType, transform: Transform, hyperparameters: Mapping[str, Any], target: Target) -> Recipe:
    """Calls the module's `tree_parameters`.

    Raises:
        StepError: it raises, or returns something other than parameters that can be exported and features that there
            are.
    """
    returned = modules.call(getattr(module, FUNCTION), transform, dict(hyperparameters))
    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        raise StepError(
            f"The pipeline module's {FUNCTION} returned {described(returned)}. Return a pair: a dict of XGBoost's "
            "parameters, and a list of the features that are categorical. A third item may list the features to take."
        )
    given, *lists = returned
    if not isinstance(given, Mapping):
        raise StepError(f"The parameters that {FUNCTION} returned are {described(given)}. Make them a dict.")
    for names in lists:
        if not isinstance(names, Sequence | set | frozenset) or isinstance(names, str):
            raise StepError(f"The features that {FUNCTION} returned are {described(names)}. Make them a list of names.")
    objective = _check(given, target)
    chosen = columns.choose(
        transform.feature_spec, sorted(lists[0]), sorted(lists[1]) if len(lists) == 2 else None, target.withheld
    )
    named = given.get(_MONOTONE)
    for name in named if isinstance(named, Mapping) else ():
        if name not in (taken := [each.name for each in chosen]):
            raise StepError(
                f"{FUNCTION} constrains {name!r}, which isn't among its features. {near_misses(name, taken)}"
            )
    return Recipe({name: value for name, value in given.items() if name not in _FIXED}, objective, tuple(chosen))


def _check(given: Mapping[str, Any], target: Target) -> Objective:
    for name, value in given.items():
        if name in _FIXED:
            if value != _FIXED[name] and not (name == "tree_method" and value == "auto"):
                raise StepError(
                    f"{FUNCTION} gives {name} {value!r}, whose trees can't be exported; {_FIXED[name]!r} can. Leave "
                    f"{name} out."
                )
        elif name in _DECIDED:
            raise StepError(f"{FUNCTION} gives {name}, but {_DECIDED[name]}. Leave it out.")
        elif name not in _TAKEN:
            raise StepError(
                f"{FUNCTION} gives {name!r}, which is no parameter that trees are trained with here. "
                f"{near_misses(str(name), _TAKEN)}"
            )
    bins = given.get("max_bin", _BINS)
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        raise StepError(f"{FUNCTION} gives max_bin {bins!r}. Give a whole number of 2 or more, or leave it out.")
    known = {each.name: each for each in OF_TASK[target.task]}
    name = given.get("objective", next(iter(known)))
    if name not in known:
        raise StepError(
            f"{FUNCTION} gives the objective {name!r}; TASK {target.task!r} has {', '.join(known)}. "
            f"{near_misses(str(name), known)}"
        )
    return known[name]
