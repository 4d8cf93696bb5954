"""What KServe's model server answers beside predictions: server and model metadata, the list of models, OpenAPI.

It is made when it is first asked for: importing kserve takes a second and 100 MB, which predictions needn't wait for.
"""

import sys
from collections.abc import Mapping
from typing import Any

from model_server.front import Application, Model
from stepkit.raw_columns import BYTES, FLOAT, INT, Column

_DATATYPES = {FLOAT: "FP32", INT: "INT64", BYTES: "BYTES"}
_JSON_TYPES = {FLOAT: "number", INT: "integer", BYTES: "string"}
_SERVED = ("/v1/models", "/v2")
_NOT_SERVED = ("explain", "/repository/", "/load", "/unload", "/versions/")


def create(model: Model, name: str, example: Mapping[str, Any]) -> Application:
    """Returns KServe's application with the model registered.

    Args:
        example: a V1 body that the model answers.
    """
    # kserve parses them when it is imported. Its logging has a line a request, on a stdout that nobody need read.
    arguments, sys.argv = sys.argv, [sys.argv[0], "--configure_logging=False"]
    try:
        import kserve
        from kserve.protocol.rest.server import RESTServer
    finally:
        sys.argv = arguments

    class Registered(kserve.Model):
        """Tells what the model takes and gives."""

        def __init__(self) -> None:
            super().__init__(name)
            self.ready = True

        def get_input_types(self) -> list[dict[str, Any]]:
            """See `kserve.Model`."""
            return [
                {
                    "name": column.name,
                    "datatype": _DATATYPES[column.kind],
                    "shape": [-1, *(-1 if size is None else size for size in column.shape)],
                }
                for column in model.reader.columns
            ]

        def get_output_types(self) -> list[dict[str, Any]]:
            """See `kserve.Model`."""
            return [{"name": model.answers.output, "datatype": "FP32", "shape": [-1, model.answers.width]}]

    server = kserve.ModelServer(enable_grpc=False)
    server.register_model(Registered())
    rest = RESTServer("kserve.model_server:app", server.dataplane, server.model_repository_extension, 0)
    rest.create_application()
    from kserve.model_server import app

    app.openapi_schema = _described(app.openapi(), model, name, example)
    found: Application = app
    return found


def instance_schema(columns: tuple[Column, ...]) -> dict[str, Any]:
    """Returns the JSON Schema of an instance."""
    properties = {}
    for column in columns:
        single = {"type": _JSON_TYPES[column.kind]}
        kind = single if column.is_single else {"type": "array", "items": single}
        properties[column.name] = kind if column.required else {"anyOf": [kind, {"type": "null"}]}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": [column.name for column in columns if column.required],
    }


def _described(schema: dict[str, Any], model: Model, name: str, example: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves what is served here, and says what an instance is."""
    paths = {
        path: item
        for path, item in schema["paths"].items()
        if path.startswith(_SERVED) and not any(part in path for part in _NOT_SERVED)
    }
    instances = {"type": "array", "minItems": 1, "items": instance_schema(model.reader.columns)}
    body = {"type": "object", "required": ["instances"], "properties": {"instances": instances}}
    predict = paths.get("/v1/models/{model_name}:predict", {}).get("post")
    if predict is not None:
        predict["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body, "example": example}},
        }
    return {**schema, "info": {**schema["info"], "title": name}, "paths": paths}
