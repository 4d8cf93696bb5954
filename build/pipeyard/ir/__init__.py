"""KFP's intermediate representation: read strictly, and its values."""

from pipeyard.ir.pipeline import Pipeline, load, parse

__all__ = ["Pipeline", "load", "parse"]
