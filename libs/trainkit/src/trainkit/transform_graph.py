"""The transform graph, read without TFT: its layout is `transform_fn/`, `transformed_metadata/` and `metadata/`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit import schemas
from stepkit.errors import StepError, near_misses
from trainkit.labels import Target
from trainkit.schema import FeatureSpec, feature_spec

_TRANSFORM_FN = "transform_fn"
_RAW_SCHEMA = "metadata/schema.pbtxt"
_TRANSFORMED_SCHEMA = "transformed_metadata/schema.pbtxt"


class Transform:
    """What a pipeline module's `build_model` gets to know of the transform step.

    Attributes:
        feature_spec: name to `tf.io.FixedLenFeature` or `tf.io.VarLenFeature` of the transformed features that the
            model may take; neither the label nor the weight is among them.
        task: what the module declares as `TASK`.
        classes: the label's, in the order of the model's outputs; empty for regression.
    """

    def __init__(self, spec: FeatureSpec, assets: Path, target: Target) -> None:
        self.feature_spec: Mapping[str, Any] = spec
        self.task = target.task
        self.classes = target.classes
        self._assets = assets

    def vocabulary_size(self, name: str) -> int:
        """Returns how many entries the vocabulary `name` has, without out-of-vocabulary buckets.

        Args:
            name: the `vocab_filename` that the module's `preprocessing_fn` gave it.

        Raises:
            StepError: there is no such vocabulary.
        """
        path = self._assets / name
        if not path.is_file():
            known = [file.name for file in self._assets.iterdir()] if self._assets.is_dir() else []
            raise StepError(
                f"The transform graph has no vocabulary {name!r}: name it as vocab_filename does in preprocessing_fn. "
                f"{near_misses(name, known)}"
            )
        with path.open("rb") as stream:
            return sum(1 for _ in stream)


class TransformGraph:
    """The transform step's output.

    Attributes:
        raw_schema: schema of the raw examples.
        raw_spec: their parsing spec, with the label's columns.
        transformed_spec: parsing spec of the transformed examples, with the label.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the two schemas.

        Raises:
            StepError: `folder` isn't a transform graph.
        """
        self._folder = folder
        for file in (f"{_TRANSFORM_FN}/saved_model.pb", _RAW_SCHEMA, _TRANSFORMED_SCHEMA):
            if not (folder / file).is_file():
                raise StepError(f"{str(folder)!r} is no transform graph: it has no {file}. Give transform's output.")
        self.raw_schema, self.raw_spec = _read(folder / _RAW_SCHEMA)
        _, self.transformed_spec = _read(folder / _TRANSFORMED_SCHEMA)

    def for_module(self, target: Target) -> Transform:
        """Returns what `build_model` gets."""
        answers = (target.label, target.weight)
        spec = {name: feature for name, feature in self.transformed_spec.items() if name not in answers}
        return Transform(spec, self._folder / _TRANSFORM_FN / "assets", target)

    def load(self) -> Any:
        """Returns TFT's SavedModel: `.transform_fn(raw features)` gives the transformed ones."""
        return tf.saved_model.load(str(self._folder / _TRANSFORM_FN))


def _read(path: Path) -> tuple[schema_pb2.Schema, FeatureSpec]:
    schema = schemas.read(str(path))
    return schema, feature_spec(schemas.in_use(schema), schemas.place(str(path)))
