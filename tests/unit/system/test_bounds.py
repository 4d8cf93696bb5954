"""Documents that were made to harm: each is refused at once, wherever it is read."""

import json
import time
from pathlib import Path

import pytest
import yaml

from pipeyard import ir, settings
from pipeyard.ci import cloudbuild_rules, documents, linter
from pipeyard.component_store import ComponentStore, layout
from pipeyard.errors import PipeyardError
from pipeyard.ir import values
from pipeyard.ir.protobuf import pb
from pipeyard.packages import archives
from pipeyard.repository.project import Project
from pipeyard.system import jsons, yamls
from pipeyard_components import bounds

BOMB = (
    "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{after}: &{after} [{', '.join([f'*{name}'] * 10)}]\n"
        for name, after in zip("abcdefg", "bcdefgh", strict=True)
    )
    + "h2: *h\n"
)
DEEP = {
    "flow": "[" * 100_000,
    "lines": "[\n" * 100_000,
    "dashes": "- " * 100_000,
    "closed": "[" * 101 + "]" * 101,
    "mappings": "{a: " * 5_000,
    "by aliases": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 120)),
}
# What looks like a value to YAML, and makes PyYAML raise what isn't a YAMLError.
ODD = ["2020-13-45", "!!int x", '!!float ""', "!!bool x", "!!timestamp x", "9" * 5000]


@pytest.fixture(autouse=True)
def at_once():
    began = time.process_time()
    yield
    assert time.process_time() - began < 10


@pytest.mark.parametrize("read", [yamls.load, yamls.load_all, yamls.compose])
def test_aliases_that_unfold_to_a_hundred_million_values_are_refused_before_anything_is_built(read):
    with pytest.raises(bounds.TooMuch, match="aliases make the document grow without end: they repeat over 100,000"):
        read(BOMB)


@pytest.mark.parametrize("read", [yamls.load, yamls.load_all, yamls.compose])
@pytest.mark.parametrize("kind", DEEP)
def test_what_is_nested_too_deep_is_refused_with_its_line(read, kind):
    with pytest.raises(bounds.TooMuch, match=r"nested more than 100 deep\n.*line \d+") as error:
        read(DEEP[kind])
    assert isinstance(error.value, yaml.YAMLError)


def test_an_alias_within_itself_is_refused_where_it_stands():
    with pytest.raises(bounds.TooMuch, match=r"(?s)\*a makes the document grow without end.*line 2"):
        yamls.load("&a\n- *a\n")


def test_what_has_too_many_values_or_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(bounds, "MOST_NODES", 10)
    with pytest.raises(bounds.TooMuch, match="more than 10 values"):
        yamls.load("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]")
    assert yamls.load("[1, 2, 3, 4, 5, 6, 7, 8, 9]") == list(range(1, 10))
    with pytest.raises(bounds.TooMuch, match="it has 12 bytes, and 10 are the most"):
        jsons.load(b'"0123456789"', most_bytes=10)


@pytest.mark.parametrize("text", ODD)
def test_a_value_that_isn_t_what_it_looks_like_is_no_yaml(text):
    with pytest.raises(yaml.YAMLError, match="isn't what it looks like"):
        yamls.load(f"a: {text}\n")


def test_anchors_and_aliases_as_people_write_them_are_read():
    text = "base: &base {a: 1, b: [1, 2]}\nmore:\n  <<: *base\n  b: 3\nagain: [*base, *base]\n"
    base = {"a": 1, "b": [1, 2]}
    assert yamls.load(text) == {"base": base, "more": {"a": 1, "b": 3}, "again": [base, base]}


TWICE = {
    "mapping": "a: {b: 1, b: 2}\n",
    "root": "a: 1\nb: 2\na: 3\n",
    "list": "- {b: 1, c: 2, b: [1]}\n",
    "second document": "a: 1\n---\na: {b: 1, b: 2}\n",
    "metadata of no component": "metadata: {b: 1, b: 2}\n",
    "beside a merge": "x: &x {b: 1}\ny: {<<: *x, b: 2, b: 3}\n",
}


@pytest.mark.parametrize("name", TWICE)
def test_a_key_that_stands_twice_with_two_meanings_is_no_yaml(name):
    with pytest.raises(yaml.YAMLError, match=r"the key '[ab]' stands twice, again in line \d, with another value"):
        yamls.load_all(TWICE[name])
    if "---" not in TWICE[name]:
        with pytest.raises(yaml.YAMLError, match="stands twice"):
            yamls.load(TWICE[name])


def test_a_key_that_stands_twice_in_vain_is_read_as_public_specifications_have_it():
    assert yamls.load("a: {b: 1, b: 1}\n") == {"a": {"b": 1}}
    component = "implementation: {container: {image: a}}\nmetadata: {annotations: {b: 1, b: 2}}\n"
    assert yamls.load(component)["metadata"] == {"annotations": {"b": 2}}
    assert yamls.load("x: &x {b: 1}\ny: {<<: *x, b: 2}\n")["y"] == {"b": 2}


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 0, "a": 2}}]'])
def test_a_key_that_stands_twice_is_no_json(text, tmp_path):
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    for read in (lambda: jsons.load(text), lambda: jsons.read(tmp_path / "x.json")):
        with pytest.raises(ValueError, match="the key 'a' stands twice"):
            read()


def test_a_key_that_stands_twice_in_a_value_is_refused():
    with pytest.raises(PipeyardError):
        values.coerce('{"a": 1, "a": 2}', pb.ParameterType.STRUCT, "the parameter p")


def test_half_of_a_surrogate_pair_is_no_yaml():
    with pytest.raises(yaml.YAMLError, match="a character that no text has"):
        yamls.load("a: \ud800\n")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[" * 101 + b"]" * 101, b'{"a":' * 5_000])
def test_json_that_is_nested_too_deep_is_refused(content):
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        jsons.load(content)


def test_json_at_the_bound_is_read():
    assert json.dumps(jsons.load("[" * 100 + "]" * 100)) == "[" * 100 + "]" * 100


HOSTILE = {"bomb": BOMB, **DEEP, **{each[:12]: f"a: {each}\n" for each in ODD}}


@pytest.mark.parametrize("kind", HOSTILE)
def test_settings_say_what_is_wrong_and_where(tmp_path, kind):
    (tmp_path / "settings.yaml").write_text(HOSTILE[kind], encoding="utf-8")
    with pytest.raises(PipeyardError, match=r"^settings.yaml:\d+: "):
        settings.load(tmp_path)


@pytest.mark.parametrize("kind", HOSTILE)
def test_components_of_a_store_and_of_the_project_are_refused_by_name(tmp_path, kind):
    folder = tmp_path / "components/odd"
    folder.mkdir(parents=True)
    (folder / "component.yaml").write_text(HOSTILE[kind], encoding="utf-8")
    with pytest.raises(PipeyardError, match="odd"):
        ComponentStore(local_search_paths=[tmp_path / "components"]).load_component("odd")
    with pytest.raises(PipeyardError, match="odd"):
        getattr(Project(tmp_path).components["odd"], "spec")  # noqa: B009  # it is read when it is asked for


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_compiled_pipeline_is_refused(kind):
    with pytest.raises(PipeyardError, match="not a compiled pipeline"):
        ir.parse(HOSTILE[kind])


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b'{"format": []}', b"\xff", b'{"format": 1}', b"1"])
def test_an_index_of_a_store_is_refused(content):
    with pytest.raises(ValueError, match="index"):
        layout.read_index(content)


def test_a_package_whose_manifest_is_deep_is_damaged(monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *_, **__: "[" * 100_000)
    packed = archives.workflow("pipelineInfo: {}\n", {})
    monkeypatch.undo()
    with pytest.raises(PipeyardError, match="workflow.tar.gz is damaged: it is nested more than 100 deep"):
        archives.unpack(packed)


# What Cloud Build's own parser refuses, or takes for a field that isn't set.
BUILDS = [
    "steps: [text]\n",
    "steps: text\n",
    "steps: {a: b}\n",
    "steps: [[{name: i}]]\n",
    "steps: [3]\n",
    "steps: [{name: i, id: {a: 1}}]\n",
    "steps: [{name: i, id: [a]}]\n",
    "steps: [{name: i, waitFor: a}]\n",
    "steps: [{name: i, waitFor: [[a]]}]\n",
    "steps: [{name: i, env: {A: b}}]\n",
    "steps: [{name: i, args: text}]\n",
    "steps: [{name: i, volumes: [text]}]\n",
    "steps: [{name: i, timeout: 3}]\n",
    "steps: [{name: i, timeout: .nan}]\n",
    "steps: [{name: {a: 1}}]\n",
    "steps: [{name: i}]\nsubstitutions: [a]\n",
    "steps: [{name: i}]\nsubstitutions: {_A: {a: 1}}\n",
    "steps: [{name: i}]\nsubstitutions: {1: a}\n",
    "steps: [{name: i}]\noptions: text\n",
    "steps: [{name: i}]\navailableSecrets: {secretManager: [text]}\n",
    "steps: [{name: i}]\n? [a, b]\n: c\n",
    "steps: [{name: i}]\n2020-01-01: c\n",
    BOMB,
    *DEEP.values(),
    *(f"steps: [{{name: i, dir: {each}}}]\n" for each in ODD),
]


@pytest.mark.parametrize("number", range(len(BUILDS)))
def test_a_build_of_any_shape_is_a_finding_with_its_line(tmp_path, number):
    (tmp_path / "cloudbuild.yaml").write_text(BUILDS[number], encoding="utf-8")
    found = linter.check(Project(tmp_path), ("cloudbuild.yaml",))
    assert found
    assert any(":" in each.part or "line" in each.problem or ".yaml:" in each.problem for each in found), found


@pytest.mark.parametrize(
    "field", ["dir", "script", "args", "env", "volumes", "waitFor", "timeout", "secretEnv", "id", "entrypoint"]
)
def test_a_field_that_is_null_is_one_that_isn_t_set(field):
    text = f"steps:\n- {{name: i, {field}: null}}\n"
    assert cloudbuild_rules.check_build(documents.parse(text, Path("cloudbuild.yaml"))) == []
