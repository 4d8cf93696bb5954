"""TensorFlow without what a step doesn't need of it."""

import sys

from stepkit.cli import set_up_tensorflow


def import_tensorflow() -> None:
    """Imports TensorFlow, but not Keras with it; it can be imported afterwards, by `tf.keras` too.

    `import tensorflow` imports Keras only to register its optimizers, and goes on where there is none: a second for
    a step that doesn't train. Where Keras or TensorFlow is imported already, nothing is different.
    """
    set_up_tensorflow()
    if "keras" in sys.modules:
        return
    sys.modules["keras"] = None  # type: ignore[assignment]  # tells the import system that there is none
    try:
        import tensorflow  # noqa: F401  # pylint: disable=unused-import
    finally:
        del sys.modules["keras"]
