"""YAML that somebody else wrote: without Python objects, and within bounds, as the client of components reads it."""

from pipeyard_components.yamls import check, compose, load, load_all, misread, unshared

__all__ = ["check", "compose", "load", "load_all", "misread", "unshared"]
