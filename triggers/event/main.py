"""The Cloud Function: what a bucket, a topic or a scheduler sends may start runs.

Entry point `on_event`, HTTP. Beside this file: settings.yaml, and pipeyard's wheel, which requirements.txt names;
`pipeyard trigger package` puts them together.
"""

import functools
import os
from pathlib import Path

import flask
import functions_framework

from pipeyard.errors import PipeyardError
from pipeyard.triggers import cloud_function
from pipeyard.triggers.dispatch import Triggers

# Where settings.yaml is: here, or, run from a checkout, in the repository's root.
ROOT = "PIPEYARD_ROOT"


@functools.cache
def _served() -> Triggers:
    root = Path(os.environ.get(ROOT, Path(__file__).parent))
    return cloud_function.triggers(root, os.environ)


@functions_framework.http
def on_event(request: flask.Request) -> tuple[flask.Response, int]:
    """Answers a request; see `pipeyard.triggers.cloud_function`."""
    try:
        served = _served()
    except PipeyardError as error:
        return flask.jsonify({"message": str(error)}), 500
    body = request.stream.read(cloud_function.LARGEST + 1)  # more than an event has is answered 400, and not read
    status, content = cloud_function.answer(served, dict(request.headers.items()), body)
    return flask.jsonify(content), status
