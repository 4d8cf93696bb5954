"""Checks a model by asking it, pushes it to a TF Serving layout, and registers it."""
