"""Serves a version of a model over HTTP."""
