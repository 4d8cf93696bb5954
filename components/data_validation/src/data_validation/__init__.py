"""Statistics, schema, anomalies, skew and drift of examples, with TensorFlow Data Validation."""
