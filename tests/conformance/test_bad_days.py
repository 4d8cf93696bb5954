"""What steps do that break a runner: endless lines, children that stay, memory that runs out."""

from kfp import dsl
from support.tiny_components import component

from pipeyard.runs import record, report
from pipeyard.runs.record import State

FAILED = State.FAILED


def test_what_a_failing_step_prints_without_a_line_break_is_bounded_in_record_and_report(run):
    chatty = component(
        "chatty", {}, {}, "sys.stdout.write('first\\n' + 'z' * 20_000_000 + '\\x1b[2Jdone'); sys.exit(3)"
    )

    @dsl.pipeline(name="p")
    def pipeline():
        chatty()

    result = run(pipeline)
    assert (result["chatty"].state, len(result.log("chatty"))) == (FAILED, 20_000_014)
    assert result["chatty"].reason.endswith("zzzdone")
    assert (result.folder / record.FILE).stat().st_size < 20_000
    assert report.render(result.folder).stat().st_size < 300_000
