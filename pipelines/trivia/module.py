"""Messages of a chat: is it a trivia question, or the answer to one?

The messages are those of chatterbot-corpus (https://github.com/gunthercox/chatterbot-corpus, BSD-3-Clause).
Carried in the compiled pipeline as source: `transform` calls preprocessing_fn and `train` calls build_model.
"""

import tensorflow as tf

from stepkit import features

TASK = "binary"
LABEL = "kind"
CLASSES = ["chat", "trivia"]  # the model's score is that of the second
WORDS = 24
VOCABULARY = 2000
BAG = 300

DEFAULT_HYPERPARAMETERS = {"hidden_units": [32], "learning_rate": 0.003, "embedding_width": 16, "dropout": 0.3}


def preprocessing_fn(inputs):
    """Turns raw features ([rows, 1]) into model inputs and the label ([rows, 1], text)."""
    message = inputs["message"]
    is_trivia = tf.equal(features.dense(inputs["topic"]), CLASSES[1])
    return {
        "words": features.tokens(message, WORDS, vocab_filename="words", top_k=VOCABULARY),
        "bag": features.bag_of_words(message, vocab_filename="bag", top_k=BAG),
        "letters": tf.math.log1p(tf.cast(tf.strings.length(features.dense(message), "UTF8_CHAR"), tf.float32)),
        LABEL: tf.where(is_trivia, CLASSES[1], CLASSES[0]),
    }


def build_model(transform, hyperparameters):
    """Returns a compiled Keras model: of its words' embeddings, and of how often common words are there.

    Args:
        transform: what the transform step learned: `vocabulary_size(name)`.
        hyperparameters: DEFAULT_HYPERPARAMETERS with overrides.
    """
    import keras

    inputs = {
        "words": keras.Input((WORDS,), name="words", dtype="int64"),
        "bag": keras.Input((BAG,), name="bag", dtype="float32"),
        "letters": keras.Input((1,), name="letters", dtype="float32"),
    }
    size = transform.vocabulary_size("words") + 2  # the end of a text, and words that aren't known
    embedded = keras.layers.Embedding(size, hyperparameters["embedding_width"])(inputs["words"])
    strongest = keras.layers.GlobalMaxPooling1D()(embedded)
    hidden = keras.layers.Concatenate()([strongest, inputs["bag"], inputs["letters"]])
    for units in hyperparameters["hidden_units"]:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
        hidden = keras.layers.Dropout(hyperparameters["dropout"])(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="probability")(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters["learning_rate"]),
        loss="binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc"), keras.metrics.BinaryAccuracy(name="accuracy")],
    )
    return model
