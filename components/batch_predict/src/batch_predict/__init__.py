"""Scores examples with a model, and writes the predictions."""
