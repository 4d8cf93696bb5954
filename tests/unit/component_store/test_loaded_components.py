"""What pipelines load from the component store, by name, and how a missing one is told."""

from pathlib import Path

import pytest

from pipeyard.component_store import ComponentStore
from pipeyard.errors import PipeyardError

ROOT = Path(__file__).parents[3]


def test_components_by_attribute_and_item():
    loaded = ComponentStore(local_search_paths=[ROOT / "components"]).load_components("extract", "train")
    assert list(loaded) == ["extract", "train"]
    assert loaded.extract is loaded["extract"]
    with pytest.raises(AttributeError, match="'trian' was not loaded. Did you mean 'train'"):
        _ = loaded.trian


def test_a_missing_component_says_where_it_was_looked_for():
    with pytest.raises(PipeyardError) as error:
        ComponentStore(local_search_paths=[ROOT / "components"]).load_component("tran")
    assert f"looked for {ROOT}/components/tran/component.yaml" in str(error.value)
    assert "'train'" in str(error.value)
