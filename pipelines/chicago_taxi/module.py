"""Chicago taxi: does the rider tip more than 20% of the fare?

Carried in the compiled pipeline as source: `transform` calls preprocessing_fn, `train` calls build_model and, when it
tunes, hyperparameter_space. Libraries that only one of them has are imported inside the functions.
"""

import tensorflow as tf

LABEL = "big_tip"
# What deploy's model card says beside what is measured; read without running this module.
MODEL_CARD = {
    "overview": "Does the rider tip more than 20% of the fare? A demonstration on 15,000 rides of 2013 to 2016.",
    "use_cases": ["Showing how a pipeline goes from rows to a served model."],
    "limitations": [
        "Tips in cash are hardly in the data (4 of 9,909 such rides), so that cash means no tip here.",
        "Fares and areas are those of Chicago in 2013 to 2016.",
    ],
    "ethical_considerations": [
        {
            "name": "Drivers who choose rides by it would serve areas and means of payment unequally",
            "mitigation_strategy": "Metrics are watched by means of payment; nothing acts on its answers.",
        }
    ],
}
DENSE = ["trip_miles", "fare", "trip_seconds"]
BUCKETED = ["pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude"]
BUCKETS = 10
VOCABULARIES = {"payment_type": 16, "company": 100}
OOV_BUCKETS = 2
# Feature to the number of values it can take, counted from 0.
CATEGORIES = {
    "trip_start_hour": 24,
    "trip_start_day": 8,
    "trip_start_month": 13,
    "pickup_community_area": 78,
    "dropoff_community_area": 78,
}

DEFAULT_HYPERPARAMETERS = {"hidden_units": [64, 32], "learning_rate": 0.002, "embedding_width": 8}


def preprocessing_fn(inputs):
    """Turns raw features ([rows, 1], dense or sparse) into model inputs and the label ([rows, 1])."""
    import tensorflow_transform as tft

    outputs = {}
    for name in DENSE:
        # log1p first: fares and distances are skewed, and a z-score alone would leave outliers of 50 deviations.
        outputs[name] = tft.scale_to_z_score(tf.math.log1p(tf.maximum(_dense(inputs[name], tf.float32), 0.0)))
    for name in BUCKETED:
        outputs[name] = tft.bucketize(_dense(inputs[name], tf.float32), BUCKETS)
    for name, top_k in VOCABULARIES.items():
        outputs[name] = tft.compute_and_apply_vocabulary(
            _dense(inputs[name], tf.string), top_k=top_k, num_oov_buckets=OOV_BUCKETS, vocab_filename=name
        )
    for name, size in CATEGORIES.items():
        outputs[name] = tf.clip_by_value(_dense(inputs[name], tf.int64), 0, size - 1)
    fare, tips = _dense(inputs["fare"], tf.float32), _dense(inputs["tips"], tf.float32)
    outputs[LABEL] = tf.cast(tips > 0.2 * fare, tf.int64)
    return outputs


def build_model(transform, hyperparameters):
    """Returns a compiled wide and deep Keras model.

    Args:
        transform: what the transform step learned: `feature_spec`, `vocabulary_size(name)`.
        hyperparameters: DEFAULT_HYPERPARAMETERS with overrides.
    """
    import keras

    sizes = dict.fromkeys(BUCKETED, BUCKETS) | CATEGORIES
    sizes |= {name: transform.vocabulary_size(name) + OOV_BUCKETS for name in VOCABULARIES}
    inputs = {name: keras.Input((1,), name=name, dtype="float32") for name in DENSE}
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
    deep = keras.layers.Concatenate()([inputs[name] for name in DENSE] + embedded)
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


def _dense(feature, dtype):
    """Fills missing values with 0 or the empty string."""
    if isinstance(feature, tf.sparse.SparseTensor):
        default = "" if feature.dtype == tf.string else tf.constant(0, feature.dtype)
        one_wide = tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1])
        feature = tf.sparse.to_dense(one_wide, default)
    return feature if feature.dtype == dtype else tf.cast(feature, dtype)
