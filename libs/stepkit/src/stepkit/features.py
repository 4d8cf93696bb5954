"""Parts of a pipeline module's `preprocessing_fn`: missing values, words, dates, what goes in circles.

All are TensorFlow operations on raw features, [rows, 1], dense or sparse as TFT gives them, so that they compute the
same in transform and where the model is served. Those that make a vocabulary call TFT, which only transform has.
Needs TensorFlow, which a component brings.
"""

import math
from typing import Any

import tensorflow as tf  # pylint: disable=import-error

# ISO 8601, as the columns of dates and times come, or with slashes or dots in the date; what follows the minutes
# doesn't count.
_DATE = r"^\d{4}(-\d{2}-|/\d{2}/|\.\d{2}\.)\d{2}([T ]\d{2}:\d{2}.*)?$"
_NO_WORD = r"[^\p{L}\p{N}']+"
_DAY_SECONDS = 86_400
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


def dense(feature: Any, dtype: Any = None, default: Any = None) -> tf.Tensor:
    """Fills missing values.

    Args:
        feature: [rows, 1], dense or sparse, of at most one value a row.
        dtype: to cast numbers to; None: as they are.
        default: what stands for a missing value; None: 0 or the empty text.

    Returns:
        A dense tensor, [rows, 1].
    """
    if isinstance(feature, tf.sparse.SparseTensor):
        if default is None:
            default = "" if feature.dtype == tf.string else 0
        one_wide = tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1])
        feature = tf.sparse.to_dense(one_wide, tf.constant(default, feature.dtype))
    return feature if dtype is None or feature.dtype == dtype else tf.cast(feature, dtype)


def filled(feature: Any, default: float = 0) -> tf.Tensor:
    """Fills missing numbers, and NaN, which is a missing one where a model is asked for raw columns.

    Not for labels and weights: transform refuses them where they are NaN.

    Args:
        feature: of numbers, as `dense` takes it.

    Returns:
        float32 [rows, 1].
    """
    numbers = dense(feature, tf.float32, default)
    return tf.where(tf.math.is_nan(numbers), tf.constant(default, tf.float32), numbers)


def words(feature: Any) -> tf.SparseTensor:
    """Splits texts into words: runs of letters, digits and apostrophes of any script, in lower case.

    Returns:
        A sparse tensor of text, [rows, most words of a row].
    """
    text = tf.strings.lower(tf.squeeze(dense(feature), 1), encoding="utf-8")
    return tf.strings.split(tf.strings.strip(tf.strings.regex_replace(text, _NO_WORD, " "))).to_sparse()


def tokens(feature: Any, length: int, vocab_filename: str, top_k: int) -> tf.Tensor:
    """Turns texts into numbers of their first words, for an embedding.

    Args:
        length: words of a row that count; shorter texts are filled with 0.
        vocab_filename: the vocabulary's name, for `transform.vocabulary_size(name)` in `build_model`.
        top_k: most words that it has: the most frequent ones.

    Returns:
        int64 [rows, length]: 0 after the end of a text, from 1 on for known words, the vocabulary's size + 1 for all
        others. An embedding has the vocabulary's size + 2 entries.
    """
    import tensorflow_transform as tft  # pylint: disable=import-outside-toplevel,import-error

    known = tft.compute_and_apply_vocabulary(
        words(feature), top_k=top_k, num_oov_buckets=1, vocab_filename=vocab_filename
    )
    rows = known.dense_shape[0]
    first = tf.sparse.slice(known, [0, 0], tf.stack([rows, tf.constant(length, tf.int64)]))
    return tf.sparse.to_dense(_of_shape(first, rows, length), -1) + 1


def bag_of_words(feature: Any, vocab_filename: str, top_k: int) -> tf.Tensor:
    """Counts a text's words.

    Args:
        top_k: words that are counted: the most frequent ones; columns beyond the vocabulary's size are 0.

    Returns:
        float32 [rows, top_k].
    """
    import tensorflow_transform as tft  # pylint: disable=import-outside-toplevel,import-error

    known = tft.compute_and_apply_vocabulary(words(feature), top_k=top_k, vocab_filename=vocab_filename)
    counts = tf.reduce_sum(tf.one_hot(tf.sparse.to_dense(known, -1), top_k), axis=1)
    return tf.ensure_shape(counts, [None, top_k])


def date_parts(feature: Any) -> dict[str, tf.Tensor]:
    """Takes dates and times apart.

    Args:
        feature: text as ISO 8601 (`2024-02-29` or `2024-02-29T23:10`, as columns of dates and times come), or with
            slashes or dots (`2024/02/29`); or integers: seconds since 1970 in UTC.

    Returns:
        `year`, `month` (1 to 12), `day` (1 to 31), `day_of_year` (1 to 366), `weekday` (0, Monday, to 6), `hour` and
        `minute` (0 in a date alone): int64 [rows, 1], all -1 where the value is missing or no date.
    """
    if feature.dtype == tf.string:
        text = dense(feature)
        found = tf.strings.regex_full_match(text, _DATE)
        text = tf.where(found, text, "1970-01-01")
        text = tf.where(tf.strings.length(text) > 10, text, tf.strings.join([text, "T00:00"]))
        year, month, day, hour, minute = (
            tf.strings.to_number(tf.strings.substr(text, start, size), tf.int64)
            for start, size in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2))
        )
        days = _days(year, month, day)
        # The 30th of February is no date: its number of days is another date's.
        same = [a == b for a, b in zip(_civil(days), (year, month, day), strict=True)]
        found &= same[0] & same[1] & same[2] & (hour < 24) & (minute < 60)
    else:
        missing = tf.int64.min
        seconds = dense(feature, default=missing)
        found = seconds != missing
        seconds = tf.where(found, seconds, 0)
        days, rest = seconds // _DAY_SECONDS, seconds % _DAY_SECONDS
        year, month, day = _civil(days)
        hour, minute = rest // 3600, rest // 60 % 60
    parts = {
        "year": year,
        "month": month,
        "day": day,
        "day_of_year": days - _days(year, tf.ones_like(year), tf.ones_like(year)) + 1,
        "weekday": (days + _EPOCH_WEEKDAY) % 7,
        "hour": hour,
        "minute": minute,
    }
    return {name: tf.where(found, value, tf.constant(-1, tf.int64)) for name, value in parts.items()}


def cyclical(values: tf.Tensor, period: float) -> tf.Tensor:
    """Puts numbers on a circle, so that the last and the first of a period are near: hours (24), months (12).

    Args:
        values: [rows, 1], of any number type.

    Returns:
        float32 [rows, 2]: sine and cosine.
    """
    angle = tf.cast(values, tf.float32) * (2 * math.pi / period)
    return tf.concat([tf.sin(angle), tf.cos(angle)], 1)


def _of_shape(sparse: tf.SparseTensor, rows: tf.Tensor, width: int) -> tf.SparseTensor:
    return tf.SparseTensor(sparse.indices, sparse.values, tf.stack([rows, tf.constant(width, tf.int64)]))


# Days since 1970-01-01 and dates of the Gregorian calendar, by eras of 400 years that begin in March: H. Hinnant,
# "chrono-Compatible Low-Level Date Algorithms", days_from_civil and civil_from_days.


def _days(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    year = tf.where(month <= 2, year - 1, year)
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def _civil(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    days = days + 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = tf.where(shifted < 10, shifted + 3, shifted - 9)
    year = year_of_era + era * 400 + tf.where(month <= 2, tf.ones_like(month), tf.zeros_like(month))
    return year, month, day_of_year - (153 * shifted + 2) // 5 + 1
