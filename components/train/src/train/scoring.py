"""A Keras model as it is exported."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from train.pipeline_model import input_names
from trainkit.scorer import Scorer

# Beside Keras' variables: what layers of one's own may have.
_SAVED_PARTS = (tf.Variable, tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset)


def of_model(model: keras.Model) -> Scorer:
    """Returns what the served signatures need of a model."""

    def answer(features: Mapping[str, Any]) -> Any:
        return model(features, training=False)

    return Scorer(input_names(model), answer, _parameters(model))


def _parameters(model: keras.Model) -> list[Any]:
    """Returns what of a model is saved: its variables as TensorFlow has them, and its tables.

    Keras' own variables are saved as copies, and the restore operation restores the copies alone: who loads the model
    into a session, as TF Serving does, finds what the signatures read uninitialized. Keras' ExportArchive does so, too.
    """
    parts = [each for each in tf.train.TrackableView(model).descendants() if isinstance(each, _SAVED_PARTS)]
    return [variable.value for variable in model.variables] + parts
