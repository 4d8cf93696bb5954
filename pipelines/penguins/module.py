"""Palmer penguins: which species is it, by its measures?

Carried in the compiled pipeline as source: `transform` calls preprocessing_fn and `train` calls build_model.
"""

import tensorflow as tf

from stepkit import features

TASK = "multiclass"
LABEL = "species"
# Transformed feature to its column: names in the data may be any, those of a model's inputs may not.
MEASURES = {
    "bill_length": "Culmen Length (mm)",
    "bill_depth": "Culmen Depth (mm)",
    "flipper_length": "Flipper Length (mm)",
    "body_mass": "Body Mass (g)",
    "nitrogen": "Delta 15 N (o/oo)",
    "carbon": "Delta 13 C (o/oo)",
}
VOCABULARIES = {"island": "Island", "sex": "Sex"}
OOV_BUCKETS = 1

DEFAULT_HYPERPARAMETERS = {"hidden_units": [16], "learning_rate": 0.01, "embedding_width": 2}


def preprocessing_fn(inputs):
    """Turns raw features ([rows, 1], dense or sparse) into model inputs and the label ([rows, 1], text)."""
    import tensorflow_transform as tft

    outputs = {}
    for name, column in MEASURES.items():
        # Scaled before it is filled: what isn't known is then the mean.
        outputs[name] = features.dense(tft.scale_to_z_score(inputs[column]), tf.float32)
    for name, column in VOCABULARIES.items():
        outputs[name] = tft.compute_and_apply_vocabulary(
            features.dense(inputs[column]), num_oov_buckets=OOV_BUCKETS, vocab_filename=name
        )
    outputs["egg_day"] = features.cyclical(features.date_parts(inputs["Date Egg"])["day_of_year"], 366)
    outputs[LABEL] = features.dense(inputs["Species"])
    return outputs


def build_model(transform, hyperparameters):
    """Returns a compiled Keras model with one output a class.

    Args:
        transform: what the transform step learned: `vocabulary_size(name)`, `classes` of the label.
        hyperparameters: DEFAULT_HYPERPARAMETERS with overrides.
    """
    import keras

    inputs = {name: keras.Input((1,), name=name, dtype="float32") for name in MEASURES}
    inputs["egg_day"] = keras.Input((2,), name="egg_day", dtype="float32")
    deep = list(inputs.values())
    for name in VOCABULARIES:
        inputs[name] = keras.Input((1,), name=name, dtype="int64")
        size = transform.vocabulary_size(name) + OOV_BUCKETS
        deep.append(
            keras.layers.Flatten()(keras.layers.Embedding(size, hyperparameters["embedding_width"])(inputs[name]))
        )
    hidden = keras.layers.Concatenate()(deep)
    for units in hyperparameters["hidden_units"]:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    model = keras.Model(
        inputs, keras.layers.Dense(len(transform.classes), activation="softmax", name="species")(hidden)
    )
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model
