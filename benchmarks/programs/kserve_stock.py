"""kserve's ModelServer with a model that calls a SavedModel, as its manual has it.

python kserve_stock.py SAVED_MODEL NAME PORT
"""

import sys
from typing import Any

from kserve import Model, ModelServer
from saved_model_rows import loaded


class SavedModel(Model):
    """A SavedModel."""

    def __init__(self, path: str, called: str) -> None:
        super().__init__(called)
        self._ask = loaded(path)
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> dict[str, Any]:
        """Answers V1's request."""
        del headers, response_headers
        return {"predictions": self._ask(payload["instances"])}


if __name__ == "__main__":
    saved, name, port = sys.argv[1:]
    ModelServer(http_port=int(port), enable_grpc=False, workers=1).start([SavedModel(saved, name)])
