"""Analyses and applies in this process, without Beam."""

import tempfile
from pathlib import Path

import tensorflow_transform as tft

from stepkit import threads
from stepkit.outputs import Outputs
from transform import analysis, shards, targets, writing
from transform.analysis import NeedsBeam
from transform.analysis_cache import AnalysisCache
from transform.applying import Transformation
from transform.job import Job
from transform.targets import Watch
from transform.tracing import SUPPORTED, Trace


def run(job: Job, graph: Path, transformed: Path, cache_uri: str, outputs: Outputs) -> Trace:
    """Runs the job, and returns what was traced of preprocessing_fn for it.

    Args:
        graph: folder that gets TFT's transform_fn and transformed_metadata.
        transformed: folder that gets each shard's target.
        cache_uri: folder of the analysis cache; empty: none.
        outputs: writes new entries of the cache.

    Raises:
        StepError: preprocessing_fn or the data is wrong.
        NeedsBeam: another version of TFT is installed, or preprocessing_fn has an analyzer that only Beam runs. Neither
            folder was written to.
    """
    if tft.__version__ not in SUPPORTED:
        raise NeedsBeam(f"tensorflow-transform {tft.__version__} isn't {' or '.join(SUPPORTED)}")
    with tempfile.TemporaryDirectory(prefix="transform-") as scratch, threads.ordered_map() as mapped:
        trace = Trace(job.preprocessing, job.schema, Path(scratch))
        watch = Watch(targets.among(job.targets, trace.outputs))
        if reasons := analysis.objections(trace):
            raise NeedsBeam(f"preprocessing_fn has {', '.join(reasons)}")
        cache = AnalysisCache.of(cache_uri, job, outputs)
        bindings = analysis.analyze(trace, job.analyzed, job.schema, Path(scratch), mapped, cache)
        if cache_uri:
            print(f"Analysis cache: {cache.hits} of {cache.hits + cache.misses} shards were known.")
        with writing.reporting(graph):
            trace.write(bindings, graph)
        transformation = Transformation(graph, job.schema)
        for shard in job.applied:
            target = transformed / shard.target
            target.parent.mkdir(parents=True, exist_ok=True)
            raw = shards.read(shard, job.schema)
            apply = watch.over(shard.split, transformation.apply)
            writing.write_transformed(raw, transformation, target, job.output_format, job.compression, mapped, apply)
        watch.check()
    return trace
