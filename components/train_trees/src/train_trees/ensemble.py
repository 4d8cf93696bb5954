"""XGBoost's JSON model as arrays: every tree's nodes, one after the other.

The format is XGBoost's own ("Introduction to Model IO", and `doc/model.schema` in its repository). How a row goes
through a tree is in `src/predictor/predict_fn.h` and `src/common/categorical.h` there.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepkit.errors import StepError

# Codes of categories from here on go left, as negative ones do: floats of 32 bits aren't exact above.
CATEGORIES_END = 1 << 24
WORD_BITS = 32
_LEAF = -1
_CATEGORICAL = 1


@dataclass(frozen=True)
class Ensemble:
    """Trees for a vectorised walk. Nodes of all trees have one numbering.

    Attributes:
        roots: int32 [trees]: a tree's first node.
        outputs: int32 [trees]: which of the model's outputs a tree adds to.
        left: int32 [nodes]: where a row goes on; a leaf's are the leaf itself.
        right: likewise.
        feature: int32 [nodes]: column that decides; 0 at leaves.
        threshold: float32 [nodes]: left is what is less.
        default_left: bool [nodes]: where a missing value goes.
        categories: int32 [nodes]: first word of the node's set in `words`; -1 if it has none.
        width: int32 [nodes]: words of that set.
        words: int32: bits of the categories that go right, the lowest first.
        value: float32 [nodes]: what a leaf adds.
        base: float64 [outputs]: what trees are added to, as margins.
        depth: decisions on the longest way.
    """

    roots: np.ndarray
    outputs: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    default_left: np.ndarray
    categories: np.ndarray
    width: np.ndarray
    words: np.ndarray
    value: np.ndarray
    base: np.ndarray
    depth: int


def parse(model: bytes, rounds: int, margin: Callable[[np.ndarray], np.ndarray], outputs: int) -> Ensemble:
    """Reads the first rounds of a model.

    Args:
        model: what `Booster.save_raw("json")` returns.
        rounds: how many to take.
        margin: from the objective's output to what trees add up to (see `objectives`).
        outputs: numbers a row.

    Raises:
        StepError: the model is of a kind that isn't exported.
    """
    learner = json.loads(model)["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise StepError(f"XGBoost's booster is {booster['name']!r}; only gbtree is exported. Leave booster out.")
    content = booster["model"]
    count = content["iteration_indptr"][rounds]
    trees = content["trees"][:count]
    for tree in trees:
        if int(tree["tree_param"]["size_leaf_vector"]) > 1:
            raise StepError("XGBoost's trees have vectors as leaves, which aren't exported. Leave multi_strategy out.")
    sizes = [len(tree["left_children"]) for tree in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    parts = [_tree(tree, int(root)) for tree, root in zip(trees, roots, strict=True)]
    sets = [part.pop("sets") for part in parts]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    words, categories, width = _bits(sets, len(joined["left"]))
    return Ensemble(
        roots=roots,
        outputs=np.array(content["tree_info"][:count], np.int32),
        words=words,
        categories=categories,
        width=width,
        base=_base(learner["learner_model_param"]["base_score"], margin, outputs),
        depth=max(map(_depth, trees)),
        **joined,
    )


def _tree(tree: dict[str, Any], root: int) -> dict[str, Any]:
    left = np.array(tree["left_children"], np.int32)
    right = np.array(tree["right_children"], np.int32)
    itself = np.arange(len(left), dtype=np.int32) + root
    leaf = left == _LEAF
    conditions = np.array(tree["split_conditions"], np.float64).astype(np.float32)
    categories = tree["categories"]
    sets = {
        root + node: categories[start : start + size]
        for node, start, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        )
    }
    split = np.array(tree["split_type"], np.int32)
    for node in np.flatnonzero((split == _CATEGORICAL) & ~leaf).tolist():
        sets.setdefault(root + node, [])
    return {
        "left": np.where(leaf, itself, left + root),
        "right": np.where(leaf, itself, right + root),
        "feature": np.where(leaf, 0, np.array(tree["split_indices"], np.int32)).astype(np.int32),
        "threshold": conditions,
        "default_left": np.array(tree["default_left"], bool),
        "value": np.where(leaf, conditions, 0).astype(np.float32),
        "sets": sets,
    }


def _bits(sets: list[dict[int, list[int]]], nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the words of all sets, and for each node where its set begins and how many words it has."""
    starts = np.full(nodes, -1, np.int32)
    width = np.zeros(nodes, np.int32)
    words: list[np.ndarray] = []
    at = 0
    for node, members in (item for tree in sets for item in tree.items()):
        codes = np.array(members, np.uint32)
        size = int(codes.max()) // WORD_BITS + 1 if len(codes) else 1
        own = np.zeros(size, np.uint32)
        np.bitwise_or.at(own, codes // WORD_BITS, np.uint32(1) << (codes % WORD_BITS))
        words.append(own)
        starts[node], width[node] = at, size
        at += size
    return (np.concatenate(words) if words else np.zeros(1, np.uint32)).view(np.int32), starts, width


def _base(text: str, margin: Callable[[np.ndarray], np.ndarray], outputs: int) -> np.ndarray:
    """Returns margins; before XGBoost 3.1 the text is one number, since then a list of one or as many as outputs."""
    score = np.atleast_1d(np.array(json.loads(text), np.float64))
    return np.broadcast_to(margin(score), (outputs,)).copy()


def _depth(tree: dict[str, Any]) -> int:
    depth, level = 0, [0]
    left, right = tree["left_children"], tree["right_children"]
    while level := [child for node in level if left[node] != _LEAF for child in (left[node], right[node])]:
        depth += 1
    return depth
