"""From `pipeline.py` to KFP's intermediate representation."""
