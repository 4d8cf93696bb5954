"""MLServer's custom runtime that calls a SavedModel, as its manual has it; and what starts it.

python mlserver_runtime.py SAVED_MODEL NAME PORT
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from saved_model_rows import loaded


class SavedModel(MLModel):
    """A SavedModel; an input a column."""

    async def load(self) -> bool:
        """Loads it."""
        # MLServer's way: made before it is loaded, without arguments of its own.
        self._ask = loaded(self.settings.parameters.uri)  # pylint: disable=attribute-defined-outside-init
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answers V2's request."""
        import numpy as np

        columns: dict[str, list[Any]] = {}
        for each in payload.inputs:
            codec: Any = StringCodec if each.datatype == "BYTES" else NumpyCodec
            columns[each.name] = np.ravel(codec.decode_input(each)).tolist()
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        answer = NumpyCodec.encode_output("answer", np.asarray(self._ask(rows)))
        return InferenceResponse(model_name=self.name, outputs=[answer])


if __name__ == "__main__":
    saved, name, port = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        server = {"host": "127.0.0.1", "http_port": int(port), "parallel_workers": 0, "metrics_endpoint": None}
        # Ports that aren't used are those behind it; two servers of a benchmark have ports far apart.
        others = {"grpc_port": int(port) + 1, "metrics_port": int(port) + 2}
        Path(folder, "settings.json").write_text(json.dumps(server | others), encoding="utf-8")
        model = {"name": name, "implementation": "mlserver_runtime.SavedModel", "parameters": {"uri": saved}}
        Path(folder, "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        command = [str(Path(sys.executable).with_name("mlserver")), "start", folder]
        os.spawnv(os.P_WAIT, command[0], command)
