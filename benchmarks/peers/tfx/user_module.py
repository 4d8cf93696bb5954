"""What TFX's Transform and Trainer load: the pipeline's own preprocessing and model, and a Trainer around them.

`pipeline_module` is a copy of pipelines/NAME/module.py; TFX packs all files of this one's folder into a wheel.
"""

import keras
import pipeline_module
import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio

_SHUFFLED_ROWS = 1 << 19


def preprocessing_fn(inputs, custom_config):
    """The pipeline's, given the tensors that its own schema would give it.

    SchemaGen makes a feature dense that happens to be in every row; `sparse` names those that the pipeline expects as
    sparse all the same.
    """
    sparse = {name: tf.sparse.from_dense(inputs[name]) for name in custom_config["sparse"]}
    return pipeline_module.preprocessing_fn(inputs | sparse)


class _Transform:
    """What build_model asks for, answered by TFT's output as Pipeyard's train answers it."""

    def __init__(self, output):
        self.feature_spec = output.transformed_feature_spec()
        self.vocabulary_size = output.vocabulary_size_by_name


def run_fn(fn_args):
    """Trains as Pipeyard's train does: same epochs, batches, early stopping and best weights."""
    options = fn_args.custom_config
    keras.utils.set_random_seed(options["seed"])
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    model = pipeline_module.build_model(_Transform(transform_output), pipeline_module.DEFAULT_HYPERPARAMETERS)
    names = [tensor.name for tensor in model.inputs]

    def dataset(files, shuffle):
        batches = fn_args.data_accessor.tf_dataset_factory(
            files,
            tfxio.TensorFlowDatasetOptions(
                batch_size=options["batch_rows"],
                num_epochs=1,
                label_key=pipeline_module.LABEL,
                shuffle=shuffle,
                # All of the split, as train shuffles: the rows come in order of time, and by default 10,000 are mixed.
                shuffle_buffer_size=_SHUFFLED_ROWS,
            ),
            transform_output.transformed_metadata.schema,
        )
        return batches.map(lambda features, label: ({name: features[name] for name in names}, label))

    stopping = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    history = model.fit(
        dataset(fn_args.train_files, True),
        validation_data=dataset(fn_args.eval_files, False),
        epochs=options["epochs"],
        callbacks=[stopping],
        verbose=2,
    )
    print("epochs done:", len(history.history["loss"]))
    _export(model, names, transform_output, options["raw_label"], fn_args.serving_model_dir)


def _export(model, names, transform_output, raw_label, folder):
    """Saves signatures that take serialized tf.Examples. A Keras 3 model can't hold TFT's layer, a tf.Module can."""
    raw_spec = transform_output.raw_feature_spec()
    module = tf.Module()
    module.model = model
    module.transform = transform_output.transform_features_layer()
    serialized = [tf.TensorSpec([None], tf.string, name="examples")]

    @tf.function(input_signature=serialized)
    def serve(examples):
        spec = {name: feature for name, feature in raw_spec.items() if name != raw_label}
        features = module.transform(tf.io.parse_example(examples, spec))
        return {"probabilities": module.model({name: features[name] for name in names})}

    @tf.function(input_signature=serialized)
    def transform_features(examples):
        return module.transform(tf.io.parse_example(examples, raw_spec))

    signatures = {"serving_default": serve, "transform_features": transform_features}
    tf.saved_model.save(
        module, folder, signatures={name: each.get_concrete_function() for name, each in signatures.items()}
    )
