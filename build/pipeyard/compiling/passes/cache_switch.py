"""Turns KFP's cache off for steps that read outside the run.

KFP knows a step again by image, command, parameters and input artifacts. It knows nothing of the file behind a URI, or
of the champion in a registry: a source that changed at the same path would give the rows of before. Nor does a
`cache_key` of the pipeline's author help: the driver of 2.17.0 doesn't read it (kubeflow/pipelines#13762 made it).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml
from google.protobuf import json_format

from pipeyard.compiling.passes.traversal import ROOT, visits
from pipeyard.ir import Pipeline
from pipeyard.system import yamls

_UNKNOWN = object()
_FIELD = re.compile(r"\{(\w+)\}")
# A task: the component that holds it (`ROOT`: the pipeline), and its name there.
TaskKey = tuple[str, str]


def outside(pipeline: Pipeline, external: Mapping[str, Collection[str]]) -> frozenset[TaskKey]:
    """Returns the tasks that read outside the run, or may: a parameter of the pipeline says so only in a run.

    Args:
        pipeline: with its defaults written.
        external: executor label to the URI templates of its component, see `pipeyard.local.external`. A template with
            an input that is surely empty counts for nothing.
    """

    def read(_name: str, spec: Any, _declared: Any, known: Mapping[str, Any]) -> Any:
        if spec is None:
            return None
        if spec.HasField("runtime_value"):
            return json_format.MessageToDict(spec.runtime_value.constant)
        if spec.component_input_parameter and not spec.parameter_expression_selector:
            return known.get(spec.component_input_parameter, _UNKNOWN)
        return _UNKNOWN

    own = dict.fromkeys(pipeline.spec.root.input_definitions.parameters, _UNKNOWN)
    return frozenset(
        (visit.dag, visit.name)
        for visit in visits(pipeline, own, read)
        for template in external.get(visit.component.executor_label, ())
        if all(visit.inputs.get(field) for field in _FIELD.findall(template))
    )


def without(text: str, places: Collection[TaskKey]) -> str:
    """Returns a compiled pipeline with the cache off for some of its tasks."""
    documents = yamls.load_all(text)
    tasks = list(_tasks(documents[0], places))
    if not any(task.get("cachingOptions") for task in tasks):
        return text
    for task in tasks:
        task["cachingOptions"] = {}
    return yaml.dump_all(documents, sort_keys=True)  # as kfp writes it: libyaml's own writer breaks lines elsewhere


def _tasks(spec: Mapping[str, Any], places: Collection[TaskKey]) -> Iterator[dict[str, Any]]:
    for dag, name in sorted(places):
        component = spec["root"] if dag == ROOT else spec["components"][dag]
        yield component["dag"]["tasks"][name]
