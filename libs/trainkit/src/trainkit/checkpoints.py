"""Where a run keeps what it needs to go on after being killed."""

import argparse
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from stepkit import code, digest, examples, module_reads, uris

# Flags that say where things are, not what they are. Every other one decides the result: checkpoints of a run with
# another value of it aren't resumed (see `name_of_run`).
PLACES = frozenset(
    [
        "transformed_examples",  # its manifest counts, which has the digest of every file
        "transform_graph",  # its content counts
        "module_uri",  # the module counts, wherever it is from
        "module",
        "checkpoint_uri",
        "model",
        "best_hyperparameters",
        "tensorboard_logs",
        "report",
        "metrics",
        "executor_input",
    ]
)


def fingerprint(**parts: Any) -> str:
    """Returns a name for everything that decides a run's result: equal parts, equal name.

    Args:
        parts: JSON values.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def name_of_run(
    args: argparse.Namespace,
    module: Any,
    hyperparameters: dict[str, Any],
    examples_folder: Path,
    graph_folder: Path,
    program: str,
    workers: int = 1,
) -> str:
    """Returns a name that two runs share only if one can go on where the other was stopped.

    Args:
        args: every flag counts, but those that `PLACES` names.
        module: the pipeline's, loaded.
        hyperparameters: that the model is built with if there is no tuning.
        examples_folder: local; its manifest has the digest of every file.
        graph_folder: local.
        program: the component's package, whose sources count with those of trainkit and stepkit.
        workers: how many train.
    """
    return fingerprint(
        examples=digest.of_file(examples_folder / examples.MANIFEST),
        transform_graph=digest.of_tree(graph_folder),
        module=digest.of_file(Path(module.__file__)),
        module_reads=module_reads.contents(module) if workers == 1 else [],  # each worker has variables of its own
        hyperparameters=hyperparameters,
        workers=workers,
        code=code.fingerprint(program, "trainkit", "stepkit"),
        one_dnn=os.environ.get("TF_ENABLE_ONEDNN_OPTS"),  # its results differ
        flags={flag: value for flag, value in vars(args).items() if flag not in PLACES},
    )


class Checkpoints:
    """Files of one run in a folder that may be shared with other runs.

    A file appears whole or not at all; one written for other data, code or parameters has another name.
    """

    def __init__(self, folder: str, run: str, private: bool) -> None:
        """Args: folder: local or remote; run: its `fingerprint`; private: nobody else uses the folder."""
        self._folder = folder
        self._run = run
        self._private = private

    @classmethod
    def of_step(cls, args: argparse.Namespace, run: str) -> "Checkpoints":
        """Returns those of a step: in `--checkpoint-uri`, or else beside the model, where nobody else's are."""
        folder = args.checkpoint_uri or f"{args.model.rstrip('/')}.checkpoints"
        return cls(folder, run, private=not args.checkpoint_uri)

    def load(self, kind: str) -> bytes | None:
        """Returns what was last saved as `kind`; None if nothing was."""
        uri = self._uri(kind)
        if not uris.exists(uri):
            return None
        if not uris.is_remote(uri):
            return uris.local_part(uri).read_bytes()
        fs, path = uris.filesystem(uri)
        return fs.cat_file(path)

    def save(self, kind: str, content: bytes) -> None:
        """Replaces what was saved as `kind`."""
        uri = self._uri(kind)
        if uris.is_remote(uri):
            fs, path = uris.filesystem(uri)
            fs.pipe_file(path, content)  # object stores make an upload visible when it is complete
            return
        target = uris.local_part(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            aside.write_bytes(content)
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)

    def discard(self, *kinds: str) -> None:
        """Removes this run's files, and the folder if it is private."""
        if self._private and not uris.is_remote(self._folder):
            shutil.rmtree(uris.local_part(self._folder), ignore_errors=True)
            return
        for kind in kinds:
            uri = self._uri(kind)
            if uris.exists(uri):
                fs, path = uris.filesystem(uri)
                fs.rm(path)

    def _uri(self, kind: str) -> str:
        return uris.join(self._folder, f"{self._run}.{kind}")
