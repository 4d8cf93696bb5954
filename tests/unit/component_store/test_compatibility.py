"""Versions compared: each class of change with its harmless twin, this repository's own history, version numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeyard.errors import PipeyardError
from pipeyard_components import interfaces
from pipeyard_components.compatibility import Severity, compare
from pipeyard_components.semantic_versions import SemanticVersion, Step

BREAKING, BEHAVIOUR, COMPATIBLE = Severity.BREAKING, Severity.BEHAVIOUR, Severity.COMPATIBLE

BASE = """
name: score
description: Scores rows.
metadata:
  annotations:
    pipeyard.dev/version: 1.2.3
    pipeyard.dev/input-types: '{"rows": "Examples", "anything": ""}'
    pipeyard.dev/output-types: '{"scores": "Scores"}'
    pipeyard.dev/domains: '{"mode": ["fast", "exact"], "share": {"minimum": 0, "maximum": 1}, "verdict": ["ok", "bad"]}'
    pipeyard.dev/units: '{"patience": "seconds"}'
    pipeyard.dev/preload: '["score.step"]'
    pipeyard.dev/external-writes: '["{target_uri}"]'
inputs:
- {name: rows, type: Dataset, description: Rows to score}
- {name: label, type: String, description: Column to predict}
- {name: count, type: Integer, default: '5', optional: true, description: 'Rows at most'}
- {name: mode, type: String, default: fast, optional: true, description: 'How'}
- {name: share, type: Float, default: '0.5', optional: true, description: 'Part of the rows'}
- {name: patience, type: Integer, default: '60', optional: true, description: 'Waits so long'}
- {name: deadline, type: Integer, default: '60', optional: true, description: 'Seconds until it gives up'}
- {name: options, type: JsonObject, default: '{"a": 1, "b": 2}', optional: true, description: 'More of them'}
- {name: target_uri, type: String, default: '', optional: true, description: 'Where to write'}
outputs:
- {name: scores, type: Dataset, description: 'JSON: row, score, seconds'}
- {name: verdict, type: String, description: 'What came of it'}
implementation:
  container:
    image: registry.example.com/score@sha256:1
    command: [python, -m, score]
    args: [--rows, {inputPath: rows}, --label, {inputValue: label}, --count, {inputValue: count}]
"""


def _spec(edit: Callable[[dict[str, Any]], Any] = lambda spec: None, user: str | None = None) -> interfaces.Interface:
    spec = yaml.safe_load(BASE)
    edit(spec)
    return interfaces.read(yaml.safe_dump(spec, sort_keys=False), "component.yaml", user)


def _port(of: str, /, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def edit(spec: dict[str, Any]) -> None:
        each = next(port for port in [*spec["inputs"], *spec["outputs"]] if port["name"] == of)
        each.update(changes)
        for key in [key for key, value in changes.items() if value is None]:
            del each[key]

    return edit


def _without(side: str, name: str) -> Callable[[dict[str, Any]], None]:
    return lambda spec: spec.update({side: [each for each in spec[side] if each["name"] != name]})


def _with(side: str, /, **port: Any) -> Callable[[dict[str, Any]], None]:
    return lambda spec: spec[side].append(port)


def _annotation(key: str, value: str | None) -> Callable[[dict[str, Any]], None]:
    def edit(spec: dict[str, Any]) -> None:
        annotations = spec["metadata"]["annotations"]
        annotations.pop(f"pipeyard.dev/{key}", None)
        if value is not None:
            annotations[f"pipeyard.dev/{key}"] = value

    return edit


def _container(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda spec: spec["implementation"]["container"].update(changes)


def _domains(**changes: Any) -> Callable[[dict[str, Any]], None]:
    was = {"mode": ["fast", "exact"], "share": {"minimum": 0, "maximum": 1}, "verdict": ["ok", "bad"]}
    return _annotation("domains", json.dumps({key: each for key, each in {**was, **changes}.items() if each}))


ARGS = yaml.safe_load(BASE)["implementation"]["container"]["args"]

# Each class of change, and below it the twin that looks like it and harms nobody.
PAIRS = [
    ("input removed", _without("inputs", "count"), "input-removed", BREAKING),
    ("inputs in another order", lambda spec: spec["inputs"].reverse(), None, COMPATIBLE),
    ("input renamed", _port("label", name="label_key"), "input-removed", BREAKING),
    ("input with a default", _with("inputs", name="seed", type="String", default="1"), "input-added", COMPATIBLE),
    ("input added, required", _with("inputs", name="seed", type="Integer"), "input-required", BREAKING),
    ("input added, optional", _with("inputs", name="seed", type="Integer", optional=True), "input-added", COMPATIBLE),
    ("input required now", _port("count", default=None, optional=None), "input-required", BREAKING),
    ("input optional now", _port("label", optional=True), "input-optional", COMPATIBLE),
    ("value retyped", _port("count", type="Float"), "type", BREAKING),
    ("type spelt otherwise", _port("count", type="int"), None, COMPATIBLE),
    ("artifact retyped", _port("rows", type="Model"), "type", BREAKING),
    ("artifact with its namespace", _port("rows", type="system.Dataset@0.0.1"), None, COMPATIBLE),
    ("artifact of another schema version", _port("rows", type="system.Dataset@0.0.2"), "type", BREAKING),
    ("value made an artifact", _port("label", type="Artifact"), "type", BREAKING),
    ("default changed", _port("count", default="6"), "default", BEHAVIOUR),
    ("default written otherwise", _port("count", default=5.0), None, COMPATIBLE),
    ("default taken away", _port("count", default=None), "default", BEHAVIOUR),
    ("default's keys in another order", _port("options", default='{"b": 2, "a": 1}'), "default", BEHAVIOUR),
    ("default's spaces", _port("options", default='{"a":1,"b":2}'), None, COMPATIBLE),
    ("meaning changed", _annotation("input-types", '{"rows": "TransformedExamples"}'), "meaning", BREAKING),
    ("meaning undeclared", _annotation("input-types", None), "meaning", BEHAVIOUR),
    ("meaning written otherwise", _annotation("input-types", '{ "rows":"Examples" }'), None, COMPATIBLE),
    ("described otherwise", _port("label", description="Column to drop"), "description", BEHAVIOUR),
    ("described in the same words", _port("label", description="column  to predict."), "wording", COMPATIBLE),
    ("unit declared otherwise", _annotation("units", '{"patience": "minutes"}'), "unit", BREAKING),
    ("unit described otherwise", _port("deadline", description="Minutes until it gives up"), "unit", BREAKING),
    ("unit in the singular", _port("deadline", description="Seconds  until it gives up"), "wording", COMPATIBLE),
    ("field of a JSON gone", _port("scores", description="JSON: row, score"), "artifact-schema", BREAKING),
    ("field of a JSON added", _port("scores", description="JSON: row, score, seconds, x"), "description", BEHAVIOUR),
    ("output removed", _without("outputs", "verdict"), "output-removed", BREAKING),
    ("output added", _with("outputs", name="report", type="HTML"), "output-added", COMPATIBLE),
    ("output retyped", _port("verdict", type="Boolean"), "type", BREAKING),
    ("output made general", _port("scores", type="Artifact"), "type", BREAKING),
    ("output means another", _annotation("output-types", '{"scores": "Ranks"}'), "meaning", BREAKING),
    ("fewer values taken", _domains(mode=["fast"]), "domain", BREAKING),
    ("more values taken", _domains(mode=["fast", "exact", "best"]), "domain-wider", COMPATIBLE),
    ("values in another order", _domains(mode=["exact", "fast"]), None, COMPATIBLE),
    ("a value for another", _domains(mode=["fast", "best"]), "domain", BREAKING),
    ("smaller range", _domains(share={"minimum": 0, "exclusiveMaximum": 1}), "domain", BREAKING),
    ("larger range", _domains(share={"minimum": 0}), "domain-wider", COMPATIBLE),
    ("range declared where none was", _domains(count={"minimum": 1}), "domain", BREAKING),
    ("a rule not known here", _domains(share={"minimum": 0, "multipleOf": 0.1}), "domain", BREAKING),
    ("output of more values", _domains(verdict=["ok", "bad", "open"]), "domain", BREAKING),
    ("output of fewer values", _domains(verdict=["ok"]), "domain-narrower", COMPATIBLE),
    ("another program", _container(command=["python", "-m", "other"]), "command-line", BEHAVIOUR),
    ("flags in another order", _container(args=[*ARGS[2:], *ARGS[:2]]), "command-line", COMPATIBLE),
    ("a flag more", _container(args=[*ARGS, "--quick"]), "command-line", BEHAVIOUR),
    ("environment", _container(env={"A": "1"}), "command-line", BEHAVIOUR),
    ("another image", _container(image="registry.example.com/score@sha256:2"), "image", BEHAVIOUR),
    ("writes elsewhere", _annotation("external-writes", '["{other_uri}"]'), "annotation", BEHAVIOUR),
    ("starts otherwise", _annotation("preload", '["score.quick"]'), "annotation", COMPATIBLE),
    ("another name", lambda spec: spec.update(name="rank"), "name", BREAKING),
    ("nothing", lambda spec: None, None, COMPATIBLE),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "kind", "severity"), [each[1:] for each in PAIRS], ids=[each[0] for each in PAIRS])
def test_each_class_of_change_and_its_harmless_twin(edit, kind, severity):
    found = compare(_spec(), _spec(edit))
    assert found.severity == severity
    if kind:
        assert next(each.kind for each in found.changes if each.severity == severity) == kind
    else:
        assert found.changes == ()


@pytest.mark.parametrize(
    ("old", "new", "severity"),
    [
        ("65532", "0", BREAKING),
        ("", "65532", BREAKING),
        ("65532", "65532:1000", BREAKING),
        ("root", "0:0", COMPATIBLE),
        ("", "root", COMPATIBLE),
        (None, "0", COMPATIBLE),  # nothing is known of the old one, which who asks has to say
    ],
)
def test_the_image_s_user(old, new, severity):
    assert compare(_spec(user=old), _spec(user=new)).severity == severity


def test_a_renamed_input_names_its_heir_and_another_image_counts_only_where_asked_for():
    found = compare(_spec(), _spec(_port("count", name="rows_at_most")), images=False)
    assert str(found.changes[0]) == "breaking: input count is gone; 'rows_at_most', which is new, may be it"
    assert compare(_spec(), _spec(_container(image="other")), images=False).changes == ()


def test_this_repository_s_own_history():
    """Every two consecutive versions of each component.yaml, labelled by hand: see the data's `about`."""
    data = json.loads((Path(__file__).parent / "data" / "spec_history.json").read_text(encoding="utf-8"))
    read = {digest: interfaces.read(text, digest) for digest, text in data["specs"].items()}
    told = [str(compare(read[each["old"]], read[each["new"]]).severity) for each in data["pairs"]]
    named = [f"{each['component']} {each['commits']}" for each in data["pairs"]]
    wanted = [each.get("told", each["label"]) for each in data["pairs"]]
    assert list(zip(named, told, strict=True)) == list(zip(named, wanted, strict=True))
    assert not [each for each in data["pairs"] if each["label"] != "compatible" == each.get("told")]
    assert len(told) == 54


PIPELINE = """
pipelineInfo: {name: p}
schemaVersion: 2.1.0
root:
  dag: {tasks: {a: {componentRef: {name: comp-a}}}}
  inputDefinitions:
    parameters:
      rows: {parameterType: NUMBER_INTEGER, defaultValue: 5, isOptional: true}
      label: {parameterType: STRING}
  outputDefinitions:
    artifacts: {model: {artifactType: {schemaTitle: system.Model, schemaVersion: 0.0.1}}}
components: {comp-a: {executorLabel: exec-a}}
deploymentSpec: {executors: {exec-a: {container: {image: i, command: [run]}}}}
---
platforms:
  kubernetes: {deploymentSpec: {executors: {exec-a: {securityContext: {runAsUser: 1}, tolerations: [{key: k}]}}}}
"""


@pytest.mark.parametrize(
    ("was", "now", "kind", "severity"),
    [
        ("      label: {parameterType: STRING}\n", "", "input-removed", BREAKING),
        ("NUMBER_INTEGER", "STRING", "type", BREAKING),
        ("STRING}", "STRING, isOptional: true}", "input-optional", COMPATIBLE),
        ("defaultValue: 5", "defaultValue: 6", "default", BEHAVIOUR),
        ("defaultValue: 5", "defaultValue: 5.0", None, COMPATIBLE),
        ("system.Model", "system.Dataset", "type", BREAKING),
        ("Model, schemaVersion: 0.0.1", "Model, schemaVersion: 0.1.0", "type", BREAKING),
        ("runAsUser: 1", "runAsUser: 0", "user", BREAKING),
        ("key: k", "key: l", "wiring", BEHAVIOUR),
        ("image: i", "image: j", "image", BEHAVIOUR),
        ("[run]", "[walk]", "command-line", BEHAVIOUR),
        ("tasks: {a: ", "tasks: {b: ", "wiring", BEHAVIOUR),
        ("exec-a", "exec-b", "step-removed", BEHAVIOUR),
        ("schemaVersion: 2.1.0\n", "schemaVersion: 2.1.0\nsdkVersion: kfp-2.18.0\n", None, COMPATIBLE),
    ],
)  # fmt: skip
def test_compiled_pipelines(was, now, kind, severity):
    assert was in PIPELINE
    found = compare(interfaces.read(PIPELINE, "old"), interfaces.read(PIPELINE.replace(was, now), "new"))
    assert (found.severity, kind in {each.kind for each in found.changes} or kind is None) == (severity, True)
    assert bool(found.changes) == bool(kind)


@pytest.mark.parametrize(
    ("old", "new", "edit", "problem"),
    [
        ("1.2.3", "1.3.0", _without("inputs", "count"), "Such changes take 2.0.0 at least"),
        ("1.2.3", "2.0.0", _without("inputs", "count"), ""),
        ("0.2.3", "0.2.4", _without("inputs", "count"), "Such changes take 0.3.0 at least"),
        ("0.2.3", "0.3.0", _without("inputs", "count"), ""),
        ("1.2.3", "1.2.4", _port("count", default="6"), "Such changes take 1.3.0 at least"),
        ("1.2.3", "1.2.3", _annotation("preload", "[]"), "Such changes take 1.2.4 at least"),
        ("1.2.3", "1.2.4", _container(image="other"), ""),
        ("1.2.3", "1.2.3", lambda spec: None, ""),
        ("2.0.0-rc.1", "2.0.0-rc.2", _without("inputs", "count"), "Such changes take 2.0.0 at least"),
        (None, "1.0.0", _without("inputs", "count"), ""),
        (None, None, _without("inputs", "count"), "it declares no version"),
        (None, None, _port("count", default="6"), ""),
    ],
)
def test_the_version_that_changes_demand(old, new, edit, problem):
    def both(spec: dict[str, Any]) -> None:
        edit(spec)
        _annotation("version", new)(spec)

    found = compare(_spec(_annotation("version", old)), _spec(both))
    assert found.problem.endswith(problem) if problem == "" else problem in found.problem
    assert bool(found.problem) == bool(problem)
    assert found.refused == (bool(problem) and found.severity == BREAKING)
    told = json.loads(json.dumps(found.as_json()))
    assert (told["refused"], told["version"]["now"]) == (found.refused, new)


def test_versions_are_ordered_as_semver_says():
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    texts += ["1.0.0-rc.1", "1.0.0", "1.0.1", "1.10.0", "2.0.0"]
    read = [SemanticVersion.parse(text) for text in texts]
    assert sorted([*read[5:], *read[:5]]) == read
    assert [str(each) for each in read] == texts
    assert SemanticVersion.parse("1.0.0+a") == SemanticVersion.parse("1.0.0+b")
    assert str(read[-1].least_after(Step.MINOR)) == "2.1.0"
    for wrong in ("1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", ""):
        with pytest.raises(PipeyardError, match="Write three numbers"):
            SemanticVersion.parse(wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "isn't YAML"),
        ("[]", "isn't a component specification"),
        ("{implementation: {container: {image: i}}, inputs: [{type: String}]}", "isn't a component specification"),
        (BASE.replace('\'{"patience": "seconds"}\'', "'{'"), "pipeyard.dev/units is no JSON"),
        (BASE.replace('\'{"patience": "seconds"}\'', "'[]'"), "pipeyard.dev/units is no JSON object"),
        (
            BASE.replace('"mode": ["fast", "exact"]', '"mode": 3'),
            "the domain of 'mode' is 3. Write its values as a list",
        ),
    ],
)
def test_what_can_t_be_compared_says_why(text, message):
    with pytest.raises(PipeyardError, match=message):
        interfaces.read(text, "here.yaml")
