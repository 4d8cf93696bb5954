"""New York flights: how many minutes late, or early, does the flight arrive?

Carried in the compiled pipeline as source: `transform` calls preprocessing_fn and `train` calls build_model.
"""

import tensorflow as tf

from stepkit import features

TASK = "regression"
LABEL = "minutes_late"
VOCABULARIES = {"carrier": 32, "origin": 8, "dest": 128}
OOV_BUCKETS = 2
# Minutes: what the network's output is multiplied by, so that weights of common sizes reach the labels.
SCALE = 40.0

DEFAULT_HYPERPARAMETERS = {"hidden_units": [64, 32], "learning_rate": 0.002, "embedding_width": 8}


def preprocessing_fn(inputs):
    """Turns raw features ([rows, 1], dense or sparse) into model inputs and the label ([rows, 1])."""
    import tensorflow_transform as tft

    delay = features.dense(inputs["dep_delay"], tf.float32)
    departs = features.date_parts(inputs["time_hour"])
    outputs = {
        "distance": tft.scale_to_z_score(features.dense(inputs["distance"], tf.float32)),
        # Heavy-tailed: the minutes themselves for the long delays, the signed logarithm for all others.
        "delay": delay / SCALE,
        "delay_log": tf.sign(delay) * tf.math.log1p(tf.abs(delay)),
        "hour": features.cyclical(departs["hour"], 24),
        "weekday": features.cyclical(departs["weekday"], 7),
        "day_of_year": features.cyclical(departs["day_of_year"], 366),
    }
    for name, top_k in VOCABULARIES.items():
        outputs[name] = tft.compute_and_apply_vocabulary(
            inputs[name], top_k=top_k, num_oov_buckets=OOV_BUCKETS, vocab_filename=name
        )
    outputs[LABEL] = features.dense(inputs["arr_delay"], tf.float32)
    return outputs


def build_model(transform, hyperparameters):
    """Returns a compiled Keras model, which adds what it learns to the delay of the departure.

    Args:
        transform: what the transform step learned: `feature_spec`, `vocabulary_size(name)`.
        hyperparameters: DEFAULT_HYPERPARAMETERS with overrides.
    """
    import keras

    widths = {"distance": 1, "delay": 1, "delay_log": 1, "hour": 2, "weekday": 2, "day_of_year": 2}
    inputs = {name: keras.Input((width,), name=name, dtype="float32") for name, width in widths.items()}
    inputs |= {name: keras.Input((1,), name=name, dtype="int64") for name in VOCABULARIES}
    embedded = []
    for name in VOCABULARIES:
        size = transform.vocabulary_size(name) + OOV_BUCKETS
        embedding = keras.layers.Embedding(size, min(hyperparameters["embedding_width"], size))
        embedded.append(keras.layers.Flatten()(embedding(inputs[name])))
    deep = keras.layers.Concatenate()([inputs[name] for name in widths] + embedded)
    for units in hyperparameters["hidden_units"]:
        deep = keras.layers.Dense(units, activation="relu")(deep)
    sum_of_both = keras.layers.Add()([inputs["delay"], keras.layers.Dense(1)(deep)])
    model = keras.Model(inputs, keras.layers.Rescaling(SCALE, name="minutes")(sum_of_both))
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters["learning_rate"]),
        loss=keras.losses.Huber(delta=SCALE),
        metrics=[keras.metrics.MeanAbsoluteError(name="mae"), keras.metrics.RootMeanSquaredError(name="rmse")],
    )
    return model
