"""What a run is given, against what its pipeline takes.

Source: kubeflow/pipelines, backend/src/apiserver/template/v2_template.go (validatePipelineJobInputs); recorded for each
kind. Integers aren't told from other numbers.
"""

from collections.abc import Mapping
from typing import Any

from .refusals import invalid

_NUMBER = (int, float)
_KINDS: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": _NUMBER,
    "NUMBER_DOUBLE": _NUMBER,
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
    "TASK_FINAL_STATUS": (dict,),
}


def check(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuses parameters that are missing, unknown, or of another type."""
    declared = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, definition in declared.items():
        if name not in given:
            if not definition.get("isOptional") and "defaultValue" not in definition:
                raise invalid(f"parameter {name} is not optional, yet has neither default value nor user value")
            continue
        kind = definition.get("parameterType", "PARAMETER_TYPE_ENUM_UNSPECIFIED")
        if kind not in _KINDS:
            raise invalid(f"input parameter {name} has unspecified type")
        value = given[name]
        if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise invalid(f"input parameter {name} requires type {kind}, but the value is {value!r}")
    if unknown := sorted(set(given) - set(declared)):
        raise invalid(f"parameter(s) provided are not required by pipeline: {', '.join(unknown)}")
