"""A pipeline with its defaults written into the tasks runs here as the one that kfp compiled."""

from kfp import dsl
from tiny_components import component

from pipeyard.local.record import State
from pipeyard.passes import defaults

tell = component(
    "tell",
    {"word": "String=none", "count": "Integer=3", "ratio": "Float=2.0", "flag": "Boolean=false", "note": "String?"},
    {"told": "String"},
    "write(OUT['told'], json.dumps(IN))",
)


def test_defaults_as_constants_give_the_same_values_and_cache_keys(run):
    @dsl.pipeline(name="inner")
    def inner(word: str = "in", count: int = 5):
        tell(word=word, count=count)

    @dsl.pipeline(name="p")
    def pipeline(ratio: float = 0.5):
        with dsl.ExitHandler(tell(word="end")):
            first = tell(ratio=ratio)
            with dsl.If(first.outputs["told"] != ""):
                inner(count=7)
            with dsl.ParallelFor(["a", "b"]) as each:
                tell(word=each)

    before = run(pipeline)
    told = {task.path: task.output_parameters for task in before.run.tasks}
    parameters = {task.path: task.parameters for task in before.run.tasks}
    assert before.run.state == State.SUCCEEDED and len(told) == 5

    pipeline.pipeline_spec.CopyFrom(defaults.written(pipeline.pipeline_spec))
    assert '"in"' in str(pipeline.pipeline_spec.components["comp-condition-2"].dag.tasks["inner"].inputs)
    after = run(pipeline)
    assert set(after.states.values()) == {State.CACHED}
    assert {task.path: task.output_parameters for task in after.run.tasks} == told
    assert {task.path: task.parameters for task in after.run.tasks} == parameters
