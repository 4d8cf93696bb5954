"""New York flights: does the flight arrive more than 15 minutes late?

Carried in the compiled pipeline as source: `transform` calls preprocessing_fn, `train` calls build_model and, when it
tunes, hyperparameter_space; `train_trees` calls tree_parameters and tree_hyperparameter_space instead. Libraries that
only one of them has are imported inside the functions.
"""

import tensorflow as tf

LABEL = "late"
LATE_MINUTES = 15
DENSE = ["distance", "sched_dep_time", "sched_arr_time"]
BUCKETED = {"dep_delay": 20, "distance": 10}
VOCABULARIES = {"carrier": 32, "origin": 8, "dest": 128}
OOV_BUCKETS = 2
TAILNUM_HASHES = 512
# Feature to the number of values it can take, counted from 0.
CATEGORIES = {"month": 13, "day": 32, "hour": 24}

DEFAULT_HYPERPARAMETERS = {"hidden_units": [64, 32], "learning_rate": 0.002, "embedding_width": 8}
DEFAULT_TREE_HYPERPARAMETERS = {"eta": 0.1, "max_depth": 6, "subsample": 0.8}


def preprocessing_fn(inputs):
    """Turns raw features ([rows, 1], dense or sparse) into model inputs and the label ([rows, 1])."""
    import tensorflow_transform as tft

    outputs = {name: tft.scale_to_z_score(tf.cast(inputs[name], tf.float32)) for name in DENSE}
    # Departure delay is heavy-tailed: the model gets it as quantiles and, for order within them, its signed logarithm.
    delay = tf.cast(inputs["dep_delay"], tf.float32)
    outputs["dep_delay_log"] = tft.scale_to_z_score(tf.sign(delay) * tf.math.log1p(tf.abs(delay)))
    for name, buckets in BUCKETED.items():
        outputs[f"{name}_bucket"] = tft.bucketize(inputs[name], buckets)
    for name, top_k in VOCABULARIES.items():
        outputs[name] = tft.compute_and_apply_vocabulary(
            inputs[name], top_k=top_k, num_oov_buckets=OOV_BUCKETS, vocab_filename=name
        )
    tail = inputs["tailnum"]
    one_wide = tf.SparseTensor(tail.indices, tail.values, [tail.dense_shape[0], 1])
    outputs["tailnum"] = tft.hash_strings(tf.sparse.to_dense(one_wide, ""), TAILNUM_HASHES)
    for name, size in CATEGORIES.items():
        outputs[name] = tf.clip_by_value(inputs[name], 0, size - 1)
    outputs[LABEL] = tf.cast(_dense(inputs["arr_delay"]) > LATE_MINUTES, tf.int64)
    return outputs


def build_model(transform, hyperparameters):
    """Returns a compiled wide and deep Keras model.

    Args:
        transform: what the transform step learned: `feature_spec`, `vocabulary_size(name)`.
        hyperparameters: DEFAULT_HYPERPARAMETERS with overrides.
    """
    import keras

    sizes = CATEGORIES | {"tailnum": TAILNUM_HASHES} | {f"{name}_bucket": size for name, size in BUCKETED.items()}
    sizes |= {name: transform.vocabulary_size(name) + OOV_BUCKETS for name in VOCABULARIES}
    dense = [*DENSE, "dep_delay_log"]
    inputs = {name: keras.Input((1,), name=name, dtype="float32") for name in dense}
    inputs |= {name: keras.Input((1,), name=name, dtype="int64") for name in sizes}

    width = hyperparameters["embedding_width"]
    embedded = [
        keras.layers.Flatten()(keras.layers.Embedding(size, min(width, size), name=f"{name}_embedding")(inputs[name]))
        for name, size in sizes.items()
    ]
    wide = [
        keras.layers.Flatten()(keras.layers.Embedding(size, 1, name=f"{name}_wide")(inputs[name]))
        for name, size in sizes.items()
    ]
    deep = keras.layers.Concatenate()([inputs[name] for name in dense] + embedded)
    for units in hyperparameters["hidden_units"]:
        deep = keras.layers.Dense(units, activation="relu")(deep)
    logits = keras.layers.Add()([keras.layers.Dense(1)(deep), *wide])
    model = keras.Model(inputs, keras.layers.Activation("sigmoid", name="probability")(logits))
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters["learning_rate"]),
        loss="binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc"), keras.metrics.BinaryAccuracy(name="accuracy")],
    )
    return model


def hyperparameter_space(hp):
    """Returns the hyperparameters of one Keras Tuner trial."""
    width = hp.Choice("width", [32, 64, 128])
    return {
        "hidden_units": [width, width // 2],
        "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log"),
        "embedding_width": hp.Choice("embedding_width", [4, 8, 16]),
    }


def tree_parameters(transform, hyperparameters):
    """Returns XGBoost's parameters, and which features are categories; the others have an order."""
    del transform
    return dict(hyperparameters), [*VOCABULARIES, "tailnum"]


def tree_hyperparameter_space(hp):
    """Returns the hyperparameters of one Keras Tuner trial of trees."""
    return {
        "eta": hp.Float("eta", 0.03, 0.3, sampling="log"),
        "max_depth": hp.Int("max_depth", 4, 9),
        "subsample": hp.Choice("subsample", [0.6, 0.8, 1.0]),
    }


def _dense(feature):
    """The label's raw column is absent from serving requests: TFT then hands over an empty sparse tensor."""
    if isinstance(feature, tf.sparse.SparseTensor):
        return tf.sparse.to_dense(tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1]))
    return feature
