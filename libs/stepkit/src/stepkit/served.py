"""What a served version has beside its SavedModel, for whoever reads it later.

A version is a folder with a number for a name, in the model's folder of a TF Serving layout. SavedModel keeps
`assets.extra/` for files that the graph doesn't load (https://www.tensorflow.org/guide/saved_model).
"""

from collections.abc import Iterator
from typing import Any

from stepkit import uris

SAVED_MODEL = "saved_model.pb"
# JSON: name, version, URI, digest, alias, metrics, lineage.
RECORD = "pipeyard.json"
# Statistics of the data that it was trained on, as data_validation writes them.
STATISTICS = "assets.extra/stats.tfrecord"
# JSON: the threshold of a score that meets the target set to evaluate, and what it reaches on each split.
OPERATING_POINT = "assets.extra/operating_point.json"
# The model card: JSON with the field names of the Model Card Toolkit's schema, and a page of it.
MODEL_CARD = "assets.extra/model_card.json"
MODEL_CARD_PAGE = "assets.extra/model_card.html"
# The signatures that train exports, of serialized tf.Examples and of raw columns.
EXAMPLES_SIGNATURE = "serving_default"
RAW_SIGNATURE = "serve_raw"
BESIDE = (RECORD, STATISTICS, OPERATING_POINT, MODEL_CARD, MODEL_CARD_PAGE)


def versions(uri: str) -> Iterator[int]:
    """Yields the numbers of a model's versions, the highest first, which is what TF Serving serves by default.

    Args:
        uri: a model's folder, local or remote; where that is something else, or nothing, there are no versions.

    Raises:
        StepError: the scheme is unknown or its library is missing.
    """
    if not uris.is_remote(uri) and not uris.exists(uri):
        return
    fs, base = uris.filesystem(uri)
    for number in reversed(numbers(fs, base)):
        if fs.exists(f"{base}/{number}/{SAVED_MODEL}"):  # uploaded last: without it, it isn't there yet
            yield number


def is_number(name: str) -> bool:
    """True for the name of a version's folder."""
    return name.isascii() and name.isdigit()


def names(fs: Any, folder: str) -> list[str]:
    """Returns what is in a folder of an fsspec filesystem now, not as remembered; nothing if it isn't a folder."""
    fs.invalidate_cache(folder)
    try:
        return [path.rstrip("/").rpartition("/")[2] for path in fs.ls(folder, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def numbers(fs: Any, folder: str) -> list[int]:
    """Returns those of a folder's names that are numbers, the lowest first; see `names`."""
    return sorted(int(name) for name in names(fs, folder) if is_number(name))
