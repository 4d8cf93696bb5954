"""Runs compiled pipelines on this machine, each step in its component's own locked environment, or in its image.

Why not kfp.local: its subprocesses refuse container components, its containers may pass for good when they fail, and in
2.17 it skips a `dsl.If` on an output that isn't named `Output` and hands a loop's item to other inputs, both silently.
So this package interprets the pipeline's intermediate representation itself, through `kfp-pipeline-spec`, the public
and versioned protobuf that KFP's backend reads too. What it doesn't know it refuses: an IR of another schema version,
an unknown field, a construct without an implementation. tests/conformance holds pipelines, compiled by the installed
kfp, with what KFP's documentation says they do.

    placeholders {{$.inputs...}} and the like in commands
    conditions  CEL
    scheduler   DAGs, conditions, loops, exit handlers
    steps       one task: cache, attempts, outputs
    launcher    how a step's process is started
    python_environments  what steps of Python's image run in
    cluster_objects      secrets and config maps in a cluster's place
    prestart    one that starts ahead of its step
    containers  one container in its place
    sandbox     what it may touch, as whom
    engine      Docker
    reaper      ends processes and containers when the runner is gone
    step_cache  outputs by content of the inputs
    external    content of things outside the run
    display     what a person sees meanwhile
    runner      the whole: parameters in, a run folder out
"""
