"""From `pipeline.py` to KFP's intermediate representation.

compiler   compiles, with a build's specs in place of the committed ones
semantics  what a compiled pipeline means, beyond what kfp checks
passes     what is done with the representation then, and what is looked for in it
"""
