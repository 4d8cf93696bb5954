"""Plans: what differs, and which steps lose their cache. Pure: nothing is contacted."""

import dataclasses
from pathlib import Path

import pytest
from support.small_repository import text

from pipeyard.compiling import compiler
from pipeyard.deployment import cache_keys, planner
from pipeyard.deployment.planner import Change, DeployedPipeline, Discrepancy

IMAGES = {"count": "host.io/count@sha256:1", "show": "host.io/show@sha256:2"}
RUN = {"pipeline_root": "gs://acme/runs"}


def _state(sha256="a" * 64, images=IMAGES, parameters=None, **options):
    parameters = parameters or {"epochs": 3}
    return DeployedPipeline(
        "c" * 40, sha256, images, parameters, RUN, cache_keys.read(text(images, **options), parameters)
    )


def _plan(wanted, found, seen=()):
    return planner.plan("dev", "whole", wanted, found, seen)


def _lost(plan):
    return {each.step: each.reasons for each in plan.uncached}


def test_nothing_changes_where_all_is_as_wanted():
    plan = _plan(_state(), _state())
    assert plan.empty
    assert list(plan.lines()) == ["whole in dev: nothing changes"]


def test_a_first_deployment_is_all_new_and_loses_no_cache():
    plan = _plan(_state(), None, (Discrepancy("version", "whole", "", "cc-aa"),))
    assert [(each.kind, each.before) for each in plan.changes] == [
        ("version", None),
        ("image", None),
        ("image", None),
        ("parameter", None),
        ("run", None),
    ]
    assert not plan.uncached
    assert "  + parameter epochs: 3" in list(plan.lines())


def test_another_image_costs_its_step_and_those_after_it_their_cache():
    other = {**IMAGES, "count": "host.io/count@sha256:9"}
    plan = _plan(_state("b" * 64, other), _state())
    assert Change("image", "count", IMAGES["count"], other["count"]) in plan.changes
    assert plan.changes[0] == Change("version", "whole", "a" * 12, "b" * 12)
    assert _lost(plan) == {"count": ("other image",), "show": ("it follows count",)}


def test_another_parameter_costs_those_that_take_it():
    plan = _plan(_state(parameters={"epochs": 4}), _state())
    assert plan.changes == (Change("parameter", "epochs", 3, 4),)
    assert _lost(plan) == {"count": ("n: 3 -> 4",), "show": ("it follows count",)}
    assert "  ~ parameter epochs: 3 -> 4" in list(plan.lines())


def test_a_parameter_that_no_step_takes_costs_nothing():
    plan = _plan(_state(parameters={"epochs": 3, "note": "x"}), _state())
    assert plan.changes == (Change("parameter", "note", None, "x"),)
    assert not plan.uncached


def test_another_constant_costs_one_step():
    assert _lost(_plan(_state("b" * 64, says="two"), _state())) == {"tell": ("what: one -> two",)}


def test_steps_that_are_never_cached_have_nothing_to_lose():
    plan = _plan(_state(parameters={"epochs": 4}, cached=False), _state(cached=False))
    assert not plan.uncached


def test_what_takes_something_from_a_group_follows_the_steps_in_it():
    inner = cache_keys.CachedStep("i", ("c",), {"n": 1}, {}, frozenset(), cached=True)
    outer = cache_keys.CachedStep("i", ("c",), {}, {"of": "group's out"}, frozenset({"group"}), cached=True)
    before = {"group/inner": inner, "outer": outer, "groups": inner}
    after = {**before, "group/inner": dataclasses.replace(inner, parameters={"n": 2})}
    lost = {each.step: each.reasons for each in planner.uncached(before, after)}
    assert lost == {"group/inner": ("n: 1 -> 2",), "outer": ("it follows group",)}


def test_what_is_removed_is_told():
    found = _state(parameters={"epochs": 3, "note": "x"})
    seen = (Discrepancy("schedule", "whole (dev)", "0 3 * * *", ""),)
    lines = list(_plan(_state(), found, seen).lines())
    assert "  - schedule whole (dev): 0 3 * * *" in lines
    assert "  - parameter note: x" in lines


def test_programs_get_the_same():
    told = _plan(_state(parameters={"epochs": 4}), _state()).as_json()
    assert told["changes"] == [{"kind": "parameter", "name": "epochs", "before": 3, "after": 4}]
    assert told["steps_without_cache"][1] == {"step": "show", "reasons": ["it follows count"]}


@pytest.mark.parametrize("pipeline", ["chicago_taxi", "flights"])
def test_steps_of_the_real_pipelines_are_read_with_groups_and_handlers(pipeline):
    compiled = compiler.compile_pipeline(Path(__file__).parents[3] / "pipelines" / pipeline)
    before = cache_keys.read(compiled.text, {"source": "gs://a", "epochs": 1})
    after = cache_keys.read(compiled.text, {"source": "gs://a", "epochs": 2})
    names = {path.rpartition("/")[2] for path in before}
    assert {"extract", "transform", "train", "evaluate", "deploy", "summarize"} <= names
    lost = {each.step.rpartition("/")[2] for each in planner.uncached(before, after)}
    assert {"train", "evaluate"} <= lost
    assert not lost & {"extract", "data-validation", "transform"}
