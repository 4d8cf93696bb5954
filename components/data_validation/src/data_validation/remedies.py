"""Plain words for TFDV's anomalies: what is wrong, and what to do."""

_WORDS = {
    "SCHEMA_MISSING_COLUMN": "The column is in the schema but not in the data.",
    "FEATURE_TYPE_NOT_PRESENT": "Every value is missing.",
    "INVALID_FEATURE_SHAPE": "Values are missing, but the feature has a shape in the schema: one in every row.",
}

_SOURCE = "Correct the source, or filter such rows out in extract"

_REMEDIES = {
    "SCHEMA_MISSING_COLUMN": "Restore the column in the source, or take the feature out of the schema (or of this "
    "environment: not_in_environment).",
    "SCHEMA_NEW_COLUMN": "Drop the column in extract, or let the feature be in this environment of the schema.",
    "FEATURE_TYPE_NOT_PRESENT": "Restore the values in the source, or lower the feature's presence in the schema.",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": f"{_SOURCE}, or lower the feature's presence.min_fraction in the schema.",
    "FEATURE_TYPE_LOW_NUMBER_PRESENT": f"{_SOURCE}, or lower the feature's presence.min_count in the schema.",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": f"{_SOURCE}, or add the values to the feature's domain in the schema.",
    "INVALID_FEATURE_SHAPE": f"{_SOURCE}, or give the feature a value_count in the place of its shape.",
    "UNEXPECTED_DATA_TYPE": "Correct the values in the source, or change the feature's type in the schema.",
    "FLOAT_TYPE_HAS_NAN": f"{_SOURCE}, or allow NaN in the feature's float_domain.",
    "FLOAT_TYPE_HAS_INF": f"{_SOURCE}, or allow infinities in the feature's float_domain.",
    "COMPARATOR_CONTROL_DATA_MISSING": "The other statistics have no values of it: compare with newer ones, or "
    "remove the comparator from the schema.",
    "COMPARATOR_TREATMENT_DATA_MISSING": "This data has no values of it: restore them, or remove the comparator "
    "from the schema.",
}

_BY_PREFIX = (
    (
        "COMPARATOR_",
        "If the change is real, retrain on it and raise the threshold; else look for a fault in the source.",
    ),
    ("DATASET_", "Check that the source is complete, or change dataset_constraints in the schema."),
    ("BOOL_TYPE_", f"{_SOURCE}, or widen the feature's domain in the schema."),
    ("INT_TYPE_", f"{_SOURCE}, or widen the feature's int_domain in the schema."),
    ("FLOAT_TYPE_", f"{_SOURCE}, or widen the feature's float_domain in the schema."),
    ("FEATURE_TYPE_", f"{_SOURCE}, or change what the schema demands of the feature."),
)


def problem(kind: str, short: str, description: str, detail: str = "") -> str:
    """Returns a sentence that states the anomaly.

    Args:
        kind: name of TFDV's AnomalyInfo.Type.
        short: TFDV's short description.
        description: TFDV's description, which names the values; may be empty.
        detail: what else is known, e.g. a value that isn't of the type.
    """
    text = _WORDS.get(kind) or (description or short).strip()
    text = text if text.endswith((".", "!", "?")) else f"{text}."
    if not detail:
        return text
    return f"{text} {detail}" if detail.endswith((".", "?")) else f"{text} {detail}."


def remedy(kind: str) -> str:
    """Returns a sentence on what to do about an anomaly of this AnomalyInfo.Type."""
    if kind in _REMEDIES:
        return _REMEDIES[kind]
    return next(
        (text for prefix, text in _BY_PREFIX if kind.startswith(prefix)), "Correct the source or the feature's schema."
    )
