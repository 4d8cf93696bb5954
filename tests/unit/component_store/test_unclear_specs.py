"""Specifications that kfp takes wrongly, or refuses in words that don't help."""

from pathlib import Path

import pytest

from pipeyard.component_store import ComponentStore
from pipeyard.errors import PipeyardError

GREET = """name: greet
inputs:
- {name: name, type: String}
implementation:
  container:
    image: x/y:1
    command: [echo, {inputValue: name}]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GREET + "name: other\n", "spec.yaml: the key 'name' stands twice, again in line 8"),
        (GREET.replace("image: x/y:1", "image: x/y:1\n    image: z"), "the key 'image' stands twice, again in line 7"),
        (GREET.replace("name: name,", "name: off,"), "one of its inputs is False, .* Put the name in quotes"),
        (GREET.replace("name: name,", "name: 1,"), "one of its inputs is 1, .* Put the name in quotes"),
        ("name: g\nimplementation: {graph: {tasks: {}}}\n", "graph components don't exist in kfp 2"),
        ("- a\n- b\n", "it isn't a component: a mapping with"),
        ("", "it isn't a component: a mapping with"),
    ],
)
def test_what_is_wrong_with_a_specification_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(PipeyardError, match=message):
        ComponentStore(local_search_paths=[tmp_path]).load_component_from_file(str(path))


def test_merge_keys_and_aliases_are_no_keys_that_stand_twice(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    shared = GREET.replace("- {name: name, type: String}", "- &a {name: name, type: String}\n- {<<: *a, name: other}")
    path.write_text(shared)
    assert ComponentStore(local_search_paths=[tmp_path]).load_component_from_file(str(path)).name == "greet"
