"""`models.config` of TensorFlow Serving, made of the desired states of all models of a serving base.

A text proto of ModelServerConfig
(https://github.com/tensorflow/serving/blob/master/tensorflow_serving/config/model_server_config.proto), which the
server reads again and again (`--model_config_file`, `--model_config_file_poll_wait_seconds`). It splits no traffic:
clients, or a proxy, ask for a label, `stable` or `canary`.

The server takes a label only for a version that it has loaded, or, by
`--allow_version_labels_for_unavailable_models`, a label that is new
(https://www.tensorflow.org/tfx/serving/serving_config#assigning_string_labels_to_model_versions). So a label is only
written of a version that lies there whole, and the version that was stable before is served on: until the server has
loaded the new one it refuses to move the label, tries again with its next reading, and has the old one meanwhile.
"""

import contextlib
import fcntl
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import states
from rollout import desired
from rollout.desired import Desired
from stepkit import uris
from stepkit.errors import StepError
from stepkit.served import names as names_in
from stepkit.served import versions

FILE = "models.config"
NAME = "tfserving"
_LOCK = ".models.lock"

_HEAD = "# Written by deploy, of the rollout.json of each model. Changes here are lost.\n"


@dataclass(frozen=True)
class Served:
    """A model as TF Serving is to serve it.

    Attributes:
        base_path: the folder of its versions.
        numbers: versions to load, ascending.
        labels: label to version, of these.
    """

    name: str
    base_path: str
    numbers: Sequence[int]
    labels: Sequence[tuple[str, int]]


def served(name: str, base_path: str, state: Desired, whole: Sequence[int]) -> Served:
    """Returns how a model is to be served.

    Args:
        whole: the versions that lie there whole.

    Raises:
        StepError: the stable version doesn't.
    """
    if state.stable not in whole:
        raise StepError(
            f"Version {state.stable} of model {name!r} is the stable one, but isn't in {base_path!r}. Put it back, or "
            "deploy another version by the strategy direct."
        )
    wanted = {state.stable, state.candidate, state.previous}
    labels = [("stable", state.stable)]
    if state.candidate is not None and state.candidate in whole:
        labels.append(("canary", state.candidate))
    return Served(name, base_path, sorted(number for number in whole if number in wanted), labels)


def to_text(models: Sequence[Served]) -> str:
    """Returns the content of `models.config`."""
    lines = ["model_config_list {"]
    for model in models:
        lines += ["  config {", f"    name: {_quoted(model.name)}", f"    base_path: {_quoted(model.base_path)}"]
        lines.append('    model_platform: "tensorflow"')
        numbers = " ".join(f"versions: {number}" for number in model.numbers)
        lines.append(f"    model_version_policy {{ specific {{ {numbers} }} }}")
        lines += [f"    version_labels {{ key: {_quoted(label)} value: {number} }}" for label, number in model.labels]
        lines.append("  }")
    return _HEAD + "\n".join([*lines, "}"]) + "\n"


def publish(serving_uri: str) -> None:
    """Writes `models.config` below a serving base, whole, for all models there whose target is TF Serving.

    Raises:
        StepError: a state is none, a stable version is missing, or the file can't be written.
    """
    try:
        if uris.is_remote(serving_uri):
            _publish_remote(serving_uri)
        else:
            _publish_local(uris.local_part(serving_uri).absolute())
    except OSError as error:
        raise StepError(
            f"Can't write {FILE} to {serving_uri!r}: {str(error) or type(error).__name__}. TF Serving keeps the one it "
            "has read. Check the path and its permissions, and deploy again."
        ) from error


def _publish_local(base: Path) -> None:
    with _locked(base):
        names = sorted(file.parent.name for file in base.glob(f"*/{desired.FILE}"))
        text = to_text(_models(str(base), names))
        aside = base / f".{FILE}.{uuid.uuid4().hex[:8]}.partial"
        try:
            aside.write_text(text, encoding="utf-8")
            aside.replace(base / FILE)
        finally:
            aside.unlink(missing_ok=True)


def _publish_remote(serving_uri: str) -> None:
    """Writes until what was read before is what is there after: a deployment of another model may do the same."""
    fs, base = uris.filesystem(serving_uri)
    written = None
    while (text := to_text(_models(serving_uri, _remote_names(fs, base)))) != written:
        fs.pipe_file(f"{base}/{FILE}", text.encode())
        written = text


def _remote_names(fs: Any, base: str) -> list[str]:
    return sorted(name for name in names_in(fs, base) if fs.exists(f"{base}/{name}/{desired.FILE}"))


def _models(serving_uri: str, names: Sequence[str]) -> list[Served]:
    found = []
    for name in names:
        state = states.open_state(serving_uri, name).read()
        if state and state.target == NAME:
            base_path = uris.join(serving_uri, name)
            found.append(served(name, base_path, state, list(versions(base_path))))
    return found


@contextlib.contextmanager
def _locked(base: Path) -> Iterator[None]:
    with (base / _LOCK).open("ab") as lock:
        with contextlib.suppress(OSError):  # some network filesystems have none
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        yield


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
