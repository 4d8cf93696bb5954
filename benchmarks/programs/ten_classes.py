"""New York flights: in which of ten ranges of minutes is the delay of the arrival?

Given to `transform` and `train` as source, as the modules of pipelines/ are; goes with the schema of flight_delays.
"""

import tensorflow as tf

from stepkit import features

TASK = "multiclass"
LABEL = "range"
# Minutes; near the deciles of 2013.
BOUNDARIES = [-26.0, -19.0, -14.0, -9.0, -5.0, 1.0, 9.0, 21.0, 52.0]
NUMBERS = ["dep_delay", "distance"]
VOCABULARIES = ["carrier", "origin"]


def preprocessing_fn(inputs):
    """Turns raw features ([rows, 1], dense or sparse) into model inputs and the label ([rows, 1], 0 to 9)."""
    import tensorflow_transform as tft

    outputs = {name: tft.scale_to_z_score(features.dense(inputs[name], tf.float32)) for name in NUMBERS}
    for name in VOCABULARIES:
        outputs[name] = tft.compute_and_apply_vocabulary(inputs[name], num_oov_buckets=1, vocab_filename=name)
    delay = features.dense(inputs["arr_delay"], tf.float32)
    outputs[LABEL] = tf.cast(tf.raw_ops.Bucketize(input=delay, boundaries=BOUNDARIES), tf.int64)
    return outputs


def build_model(transform, hyperparameters):
    """Returns a compiled Keras model with one output a class."""
    import keras

    del hyperparameters
    inputs = {name: keras.Input((1,), name=name, dtype="float32") for name in NUMBERS}
    inputs |= {name: keras.Input((1,), name=name, dtype="int64") for name in VOCABULARIES}
    known = [
        keras.layers.Flatten()(keras.layers.Embedding(transform.vocabulary_size(name) + 1, 4)(inputs[name]))
        for name in VOCABULARIES
    ]
    hidden = keras.layers.Concatenate()([inputs[name] for name in NUMBERS] + known)
    hidden = keras.layers.Dense(32, activation="relu")(hidden)
    scores = keras.layers.Dense(len(transform.classes), activation="softmax", name="scores")(hidden)
    model = keras.Model(inputs, scores)
    model.compile(optimizer=keras.optimizers.Adam(0.002), loss="sparse_categorical_crossentropy")
    return model
