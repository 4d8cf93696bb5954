"""A thousand sparse numbers: each is filled with 0 and scaled to mean 0 and variance 1.

Carried in the compiled pipeline as source, as the modules of pipelines/ are.
"""

import tensorflow as tf

from stepkit import features

LABEL = "clicked"

DEFAULT_HYPERPARAMETERS = {"hidden_units": 32, "learning_rate": 0.002}


def preprocessing_fn(inputs):
    """Turns raw features ([rows, 1], sparse) into model inputs and the label ([rows, 1])."""
    import tensorflow_transform as tft

    outputs = {
        name: tft.scale_to_z_score(features.dense(value, tf.float32)) for name, value in inputs.items() if name != LABEL
    }
    outputs[LABEL] = features.dense(inputs[LABEL])
    return outputs


def build_model(transform, hyperparameters):
    """Returns a compiled Keras model that takes every transformed feature."""
    import keras

    inputs = {name: keras.Input((1,), name=name, dtype="float32") for name in transform.feature_spec}
    hidden = keras.layers.Concatenate()(list(inputs.values()))
    hidden = keras.layers.Dense(hyperparameters["hidden_units"], activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="probability")(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters["learning_rate"]),
        loss="binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc")],
    )
    return model
