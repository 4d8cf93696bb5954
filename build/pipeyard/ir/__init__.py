"""KFP's intermediate representation, read strictly.

pipeline        a compiled pipeline as protobuf, checked; what is used of it is here: `parse`, `load`, `Pipeline`
protobuf        its protobuf, without kfp's SDK
values          parameter values: types, text forms
cache_override  KFP's cache on or off for all steps
kubernetes_settings  what `kfp.kubernetes` sets for its steps
derivation      a pipeline with the deadline and the retries of an environment
"""

from pipeyard.ir.pipeline import Pipeline, load, parse

__all__ = ["Pipeline", "load", "parse"]
