"""JSON that somebody else wrote, within bounds. Read as the client of components reads it."""

from pipeyard_components.jsons import load, once, read

__all__ = ["load", "once", "read"]
