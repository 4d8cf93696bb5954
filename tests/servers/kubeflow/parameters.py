"""What a run is given, against what its pipeline takes."""

from collections.abc import Mapping
from typing import Any

from .refusals import invalid

_KINDS: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


def check(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuses parameters that are missing, unknown, or of another type."""
    declared = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, definition in declared.items():
        if name not in given and not definition.get("isOptional") and "defaultValue" not in definition:
            raise invalid(f"input parameter {name} is required, but it is not provided")
    for name, value in given.items():
        if name not in declared:
            raise invalid(f"input parameter {name} is not used by the pipeline")
        kind = declared[name]["parameterType"]
        kinds = _KINDS.get(kind, (object,))
        boolean = isinstance(value, bool) and bool not in kinds and object not in kinds
        whole = kind == "NUMBER_INTEGER" and isinstance(value, float) and not value.is_integer()
        if not isinstance(value, kinds) or boolean or whole:
            raise invalid(f"input parameter {name} requires type {kind}, but the value is {value!r}")
