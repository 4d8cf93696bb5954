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
        (GREET + "name: other\n", "spec.yaml: the key 'name' stands twice, again in line 8, with ano"),
        (GREET.replace("image: x/y:1", "image: x/y:1\n    image: z"), "the key 'image' stands twice, again in line 7"),
        (GREET.replace("name: name,", "name: off,"), "one of its inputs is False, .* Put the name in quotes"),
        (GREET.replace("name: name,", "name: 1,"), "one of its inputs is 1, .* Put the name in quotes"),
        (
            GREET.replace("name: name,", "name: 2020-01-01,"),
            "one of its inputs is datetime.date.*Put the name in quotes",
        ),
        (GREET.replace("x/y:1", "5"), "implementation.container.image is 5. Write an image's name, in quotes"),
        (GREET.replace("    image: x/y:1\n", ""), "implementation.container.image is None"),
        (GREET.replace("echo,", "8080,"), "element 1 of command is 8080, .* Put it in quotes"),
        (GREET.replace("echo,", "yes,"), "element 1 of command is True, .* Put it in quotes"),
        (GREET.replace("echo,", "~,"), "element 1 of command is None, .* Put it in quotes"),
        (GREET.replace("echo,", "{concat: [a, 1]},"), "element 1 of command, in its concat, is 1, .* in quotes"),
        (GREET.replace("[echo, {inputValue: name}]", "echo"), "command is no list. Write each word as an element"),
        (GREET.replace("inputValue", "inputvalue"), "with 'inputvalue', and no placeholder. Did you mean 'inputValue'"),
        (GREET.replace("Value: name", "Value: nam"), "uses the input 'nam', which isn't declared. Did you mean 'name'"),
        (GREET.replace("echo,", "{outputPath: x},"), "element 1 of command uses the output 'x', which isn't declared"),
        (GREET.replace("echo,", "{if: {cond: 'true', then: [a]}},"), "a condition that isn't {isPresent: INPUT}"),
        (GREET.replace("echo,", "{if: {cond: {inputValue: name}, then: [a]}},"), "a condition that isn't {isPresent"),
        (GREET.replace("echo,", "{if: {cond: {isPresent: name}}},"), "has a condition without `then`"),
        (GREET + "    env: {PORT: 8080}\n", "env.PORT is 8080, .* Put it in quotes"),
        (GREET + "    env: {WHO: {inputValue: name}}\n", "env.WHO is .*kfp 2 takes text only there. Pass the value in"),
        (GREET + "    resources: {}\n", "kfp 2 knows no 'resources' of a container"),
        (GREET + "input: []\n", "kfp 2 knows no 'input' at the top. Did you mean 'inputs'"),
        (GREET + "metadata: {annotations: {n: 1}}\n", "metadata.annotations.n is 1, and no text. Put it in quotes"),
        (GREET.replace("type: String", "typ: String"), "kfp 2 knows no 'typ' of input 'name'. Did you mean 'type'"),
        (
            GREET.replace("type: String", "type: [String]"),
            r"the type of input 'name' is \['String'\]. Write a type's name",
        ),
        (GREET.replace("String", "String, default: 2020-01-01"), "the default of input 'name' is .*Put it in quotes"),
        (GREET.replace("String", "Integer, default: ''"), "the default of input 'name' is '', which is no Integer"),
        (GREET.replace("String}", "String}\n- {name: name}"), "two of its inputs are called 'name'"),
        (GREET.replace("- {name: name, type: String}", "  name: {type: String}"), "its inputs aren't a list"),
        ("name: a\n", "it has no implementation.container. Write one"),
        ("name: a\nimplementation:\n", "it has no implementation.container. Write one"),
        ("name: a\nimplementation: {importer: {}}\n", r"Write dsl.importer\(...\) in the pipeline"),
        (GREET + "\tx: 1\n", "isn't a component that kfp can load: while scanning"),
        (
            "name: g\nimplementation:\n  graph:\n    tasks: {a: {componentRef: {url: u}}}\n    outputValues: {}\n",
            "graph co",
        ),
        ("name: g\nimplementation: {graph: {tasks: {}}}\n", "graph components don't exist in kfp 2"),
        ("- a\n- b\n", "it isn't a component: a mapping with"),
        ("", "it isn't a component: a mapping with"),
    ],
)
def test_what_is_wrong_with_a_specification_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(PipeyardError, match=message) as error:
        ComponentStore(local_search_paths=[tmp_path]).load_component_from_file(str(path))
    assert "from_dict" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        GREET + "name: greet\n",
        GREET.replace("image: x/y:1", "image: x/y:1\n    image: x/y:1"),
        GREET + "metadata:\n  annotations: {author: a, author: b}\n",
        GREET + "metadata:\n  annotations: {author: a}\n  annotations: {author: b}\n",
    ],
)
def test_keys_that_stand_twice_and_mean_the_same_do_no_harm(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    assert ComponentStore(local_search_paths=[tmp_path]).load_component_from_file(str(path)).name == "greet"


def test_merge_keys_and_aliases_are_no_keys_that_stand_twice(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    shared = GREET.replace("- {name: name, type: String}", "- &a {name: name, type: String}\n- {<<: *a, name: other}")
    path.write_text(shared)
    assert ComponentStore(local_search_paths=[tmp_path]).load_component_from_file(str(path)).name == "greet"


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (
            "String, default: 012",
            "default of input 'name' is 012 in line 3, which kfp reads as 10. Put it in quotes.",
        ),
        ("Integer, default: 012", "which kfp reads as 10"),
        ("String, default: no", "is no in line 3, which kfp reads as false"),
        ("String, default: 1:30", "which kfp reads as 90"),
        ("String, default: 1.10", "which kfp reads as 1.1"),
        ("Integer, default: 1_000", "which kfp reads as 1000"),
        ("String, default: '012'", ""),
        ("Boolean, default: yes", ""),
        ("Integer, default: 12", ""),
        ("String, default: 1.5", ""),
    ],
)
def test_a_default_that_kfp_reads_unlike_it_is_written_is_told(tmp_path, caplog, declared, told):
    spec = tmp_path / "spec.yaml"
    spec.write_text(GREET.replace("type: String", f"type: {declared}"))
    ComponentStore(local_search_paths=[tmp_path]).load_component_from_file(str(spec))
    assert told in caplog.text
    assert bool(told) == ("kfp reads" in caplog.text)
