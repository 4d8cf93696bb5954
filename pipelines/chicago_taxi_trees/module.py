"""Chicago taxi by trees: does the rider tip more than 20% of the fare?

Carried in the compiled pipeline as source: `transform` calls preprocessing_fn, `train_trees` calls tree_parameters and,
when it tunes, tree_hyperparameter_space. `train` calls build_model, where pipeline.py loads that instead.
"""

import tensorflow as tf

from stepkit import features

TASK = "binary"
LABEL = "big_tip"
NUMBERS = ["trip_miles", "fare", "trip_seconds", "trip_start_hour", "trip_start_day", "trip_start_month"]
PLACES = ["pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude"]
VOCABULARIES = {"payment_type": 16, "company": 100}
OOV_BUCKETS = 1
# Feature to the number of values it can take, counted from 0.
CATEGORIES = {"pickup_community_area": 78, "dropoff_community_area": 78}

DEFAULT_TREE_HYPERPARAMETERS = {"eta": 0.1, "max_depth": 6, "subsample": 0.8}
DEFAULT_HYPERPARAMETERS = {"hidden_units": [64, 32], "learning_rate": 0.002, "embedding_width": 8}


def preprocessing_fn(inputs):
    """Turns raw features ([rows, 1], dense or sparse) into model inputs and the label ([rows, 1])."""
    import tensorflow_transform as tft

    # Trees need no scaling, Keras' model does. What is missing is the mean.
    outputs = {name: features.dense(tft.scale_to_z_score(inputs[name]), tf.float32) for name in [*NUMBERS, *PLACES]}
    for name, top_k in VOCABULARIES.items():
        outputs[name] = tft.compute_and_apply_vocabulary(
            features.dense(inputs[name]), top_k=top_k, num_oov_buckets=OOV_BUCKETS, vocab_filename=name
        )
    for name, size in CATEGORIES.items():
        outputs[name] = tf.clip_by_value(features.dense(inputs[name]), 0, size - 1)
    fare, tips = (features.dense(inputs[name], tf.float32) for name in ("fare", "tips"))
    outputs[LABEL] = tf.cast(tips > 0.2 * fare, tf.int64)
    return outputs


def tree_parameters(transform, hyperparameters):
    """Returns XGBoost's parameters, and which features are categories; the others have an order."""
    del transform
    return dict(hyperparameters), [*VOCABULARIES, *CATEGORIES]


def tree_hyperparameter_space(hp):
    """Returns the hyperparameters of one Keras Tuner trial of trees."""
    return {"eta": hp.Float("eta", 0.03, 0.3, sampling="log"), "max_depth": hp.Int("max_depth", 3, 8)}


def build_model(transform, hyperparameters):
    """Returns a compiled Keras model of the same features."""
    import keras

    inputs = {name: keras.Input((1,), name=name) for name in [*NUMBERS, *PLACES]}
    deep = list(inputs.values())
    sizes = CATEGORIES | {name: transform.vocabulary_size(name) + OOV_BUCKETS for name in VOCABULARIES}
    for name, size in sizes.items():
        inputs[name] = keras.Input((1,), name=name, dtype="int64")
        deep.append(
            keras.layers.Flatten()(keras.layers.Embedding(size, hyperparameters["embedding_width"])(inputs[name]))
        )
    hidden = keras.layers.Concatenate()(deep)
    for units in hyperparameters["hidden_units"]:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="probability")(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters["learning_rate"]),
        loss="binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc"), keras.metrics.BinaryAccuracy(name="accuracy")],
    )
    return model
