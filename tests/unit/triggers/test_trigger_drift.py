"""Drift of statistics, and served models that got worse."""

import json
from datetime import UTC, datetime

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from support.statistics_artifacts import QUANTILES, STANDARD, artifact

from pipeyard.errors import PipeyardError
from pipeyard.settings import DriftTrigger, QualityTrigger
from pipeyard.triggers import drift, remote_artifacts, statistics
from pipeyard.triggers.domain import EventKind
from pipeyard.triggers.statistics import Numbers, Words

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def trigger(statistics_uri, **options):
    given = {"kind": "drift", "name": "drift", "statistics": statistics_uri, "max_distance": 0.2, **options}
    return DriftTrigger(**given)


@pytest.mark.parametrize(
    ("one", "other", "value"),
    [
        (Words({"cash": 3, "card": 1}), Words({"cash": 30, "card": 10}), 0.0),
        (Words({"cash": 3, "card": 1}), Words({"cash": 1, "card": 3}), 0.5),
        (Words({"cash": 1}), Words({"bitcoin": 1}), 1.0),
        (Numbers([(0, 10, 5)]), Numbers([(0, 5, 5), (5, 10, 5)]), 0.0),
        (Numbers([(0, 10, 5)]), Numbers([(5, 15, 5)]), 0.5),
        (Numbers([(0, 1, 5)]), Numbers([(2, 3, 5)]), 1.0),
        (Numbers([(0, 0, 5), (0, 10, 5)]), Numbers([(0, 10, 10)]), 0.5),  # half of the values are 0
        (Numbers([(0, 10, 5)]), Numbers([(0, 10, 5)], nan=5), 0.5),
        (Numbers([(0, 10, 99), (10, 1e6, 1)]), Numbers([(0, 10, 99), (10, 20, 1)]), 0.01),  # outliers count as they are
    ],
)
def test_distances_are_shares(one, other, value):
    for pair in ((one, other), (other, one)):
        assert statistics.distance(*pair).value == pytest.approx(value, abs=1e-4)


def test_words_and_numbers_have_no_distance():
    assert statistics.distance(Words({"a": 1}), Numbers([(0, 1, 1)])) is None


def test_the_quantiles_are_taken_of_the_histograms_that_tfdv_writes():
    found = statistics.message("List")
    feature = found.datasets.add(name="train").features.add(name="fare")
    for kind, high, nan in ((STANDARD, 1e6, 2), (QUANTILES, 10.0, 0)):
        histogram = feature.num_stats.histograms.add(type=kind, num_nan=nan)
        histogram.buckets.add(low_value=0.0, high_value=high, sample_count=8)
    content = statistics.record(found.SerializeToString())
    assert statistics.parse(content, "x") == {"train": {"fare": Numbers([(0.0, 10.0, 8.0)], 2.0)}}


def test_data_that_is_as_it_was_is_no_event(tmp_path):
    baseline = artifact(tmp_path / "old", train={"fare": [(0, 10, 50)], "paid": {"cash": 5, "card": 5}})
    new = artifact(tmp_path / "new", train={"fare": [(0, 10, 70)], "paid": {"cash": 6, "card": 5}})
    found = drift.drift(trigger(new), baseline, NOW)
    assert found.event is None
    assert [each.name for each in found.measured] == ["fare (train)", "paid (train)"]


def test_drifted_data_is_an_event_that_says_what_drifted_by_how_much(tmp_path):
    baseline = artifact(tmp_path / "old", train={"fare": [(0, 10, 50)], "paid": {"cash": 5, "card": 5}})
    new = artifact(tmp_path / "new", train={"fare": [(5, 15, 50)], "paid": {"cash": 10, "card": 5}})
    found = drift.drift(trigger(new), baseline, NOW)
    assert found.event.detail == "fare (train): Kolmogorov-Smirnov 0.5 > 0.2"
    assert str(found.measured[1]) == "paid (train): L-infinity 0.1667 within 0.2"
    again = drift.drift(trigger(new), baseline, NOW.replace(hour=1))
    assert again.event.subject == found.event.subject  # checked hourly, it is one event
    newer = artifact(tmp_path / "new", train={"fare": [(6, 15, 50)], "paid": {"cash": 10, "card": 5}})
    assert drift.drift(trigger(newer), baseline, NOW).event.subject != found.event.subject


def test_a_feature_can_have_a_distance_of_its_own_and_a_typo_in_it_is_found(tmp_path):
    baseline = artifact(tmp_path / "old", train={"fare": [(0, 10, 50)]})
    new = artifact(tmp_path / "new", train={"fare": [(5, 15, 50)]})
    assert drift.drift(trigger(new, features={"fare": 0.6}), baseline, NOW).event is None
    with pytest.raises(PipeyardError, match="'fares', which the data at .* hasn't. Did you mean 'fare'?"):
        drift.drift(trigger(new, features={"fares": 0.6}), baseline, NOW)


def test_splits_are_compared_with_their_namesakes_else_with_all_and_slices_with_nothing(tmp_path):
    same, other = {"fare": [(0, 10, 50)]}, {"fare": [(5, 15, 50)]}
    baseline = artifact(tmp_path / "old", train=same, eval=other, train__paid=other)
    new = artifact(tmp_path / "new", train=same, eval=other, train__paid=same)
    assert [each.value for each in drift.drift(trigger(new), baseline, NOW).measured] == [0.0, 0.0]
    with pytest.raises(PipeyardError, match="has the splits serving, .* has train, eval: none can be compared"):
        drift.drift(trigger(artifact(tmp_path / "serving", serving=same)), baseline, NOW)
    whole = artifact(tmp_path / "whole", **{"All Examples": same})
    assert drift.drift(trigger(new), whole, NOW).event.detail.startswith("fare (eval)")


def test_what_isn_t_there_or_is_damaged_is_named(tmp_path):
    good = artifact(tmp_path / "good", train={"fare": [(0, 10, 50)]})
    bad = tmp_path / "bad"
    bad.mkdir()
    with pytest.raises(PipeyardError, match="No statistics at .*nowhere"):
        drift.drift(trigger(str(tmp_path / "nowhere")), good, NOW)
    with pytest.raises(PipeyardError, match="have no file stats.tfrecord"):
        drift.drift(trigger(str(bad)), good, NOW)
    content = bytearray((tmp_path / "good" / statistics.FILE).read_bytes())
    content[20] ^= 1
    (bad / statistics.FILE).write_bytes(content)
    with pytest.raises(PipeyardError, match="can't be read: it is damaged"):
        drift.drift(trigger(str(bad)), good, NOW)
    (bad / statistics.FILE).write_bytes(b"")
    with pytest.raises(PipeyardError, match="are empty"):
        drift.drift(trigger(str(bad)), good, NOW)


def version(model, number, **splits):
    """Makes a version of a served model, with what it was trained on if splits are given."""
    folder = model / str(number)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    (folder / "pipeyard.json").write_text(json.dumps({"version": number, "metrics": {"AUC": number / 10}}))
    if splits:
        artifact(folder / "assets.extra", **splits)


def test_a_served_model_s_folder_stands_for_what_its_newest_version_was_trained_on(tmp_path):
    model = tmp_path / "taxi"
    for number, low in ((9, 0), (10, 5)):
        version(model, number, train={"fare": [(low, low + 10, 50)]})
    (model / "11").mkdir()  # one that is still going up
    new = artifact(tmp_path / "new", train={"fare": [(5, 15, 50)]})
    baseline = remote_artifacts.of_served(str(model), EventKind.DRIFT)
    assert baseline == f"{model}/10/assets.extra/stats.tfrecord"
    assert [each.value for each in drift.drift(trigger(new), baseline, NOW).measured] == [0.0]
    baseline = remote_artifacts.of_served(str(model), EventKind.QUALITY)
    live = metrics(tmp_path / "live.json", AUC=0.8)
    assert (
        drift.quality(quality(live, max_drop={"AUC": 0.1}), baseline, NOW).event.detail == "AUC: dropped by 0.2 > 0.1"
    )
    assert remote_artifacts.of_served(new, EventKind.DRIFT) == new
    assert remote_artifacts.of_served(live, EventKind.QUALITY) == live


def test_what_must_not_be_listed_may_be_read(monkeypatch):
    def refuse(*_, **__):
        raise OSError("Forbidden: storage.objects.list")  # as gcsfs tells it

    monkeypatch.setattr(MemoryFileSystem, "ls", refuse)
    assert remote_artifacts.of_served("memory://b/stats", EventKind.DRIFT) == "memory://b/stats"


def test_a_version_that_nothing_was_kept_of_is_told(tmp_path):
    version(tmp_path / "taxi", 3)
    with pytest.raises(PipeyardError, match=r"Version 3 at .*taxi has no assets.extra/stats.tfrecord: .*Run the pipe"):
        remote_artifacts.of_served(str(tmp_path / "taxi"), EventKind.DRIFT)


def test_storage_that_can_t_be_reached_is_told(monkeypatch):
    def refuse(_, path, **__):
        raise ConnectionError(f"{path}: reset")

    for name in ("ls", "exists"):
        monkeypatch.setattr(MemoryFileSystem, name, refuse)
    baseline = remote_artifacts.of_served("memory://b", EventKind.DRIFT)
    with pytest.raises(PipeyardError, match="The x at memory://b can't be read: .*reset. Check the URI, the network"):
        remote_artifacts.read(baseline, "", "x")


def metrics(path, **values):
    path.write_text(json.dumps(values))
    return str(path)


def quality(uri, **bounds):
    return QualityTrigger(kind="quality", name="quality", metrics=uri, **bounds)


def test_metrics_past_any_of_their_bounds_are_an_event(tmp_path):
    served = metrics(tmp_path / "served.json", AUC=0.8, loss=0.5, baseline={"AUC": 0.1})
    trained = metrics(tmp_path / "trained.json", AUC=0.9)
    assert drift.quality(quality(served, min={"AUC": 0.8}, max={"loss": 0.5}), "", NOW).event is None
    found = drift.quality(quality(served, min={"AUC": 0.7}, max_drop={"AUC": 0.05}), trained, NOW)
    assert found.event.detail == "AUC: dropped by 0.1 > 0.05"
    assert drift.quality(quality(served, min={"AUC": 0.85}), "", NOW).event.detail == "AUC: is 0.8 < 0.85"
    assert drift.quality(quality(served, max={"loss": 0.4}), "", NOW).event.detail == "loss: is 0.5 > 0.4"


def test_an_undefined_metric_is_past_any_bound(tmp_path):
    served = metrics(tmp_path / "served.json", AUC=None)
    assert drift.quality(quality(served, min={"AUC": 0.1}), "", NOW).event.detail == "AUC: is nan past 0.1"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"AUC": "good"}', "have no number for 'AUC'"),
        ('{"auc": 0.5}', "have no 'AUC'. There are: 'auc'|Did you mean"),
        ("[1]", "aren't JSON: it is no object"),
        ("AUC", "aren't JSON"),
    ],
)
def test_metrics_of_another_form_are_told_apart(tmp_path, content, told):
    (tmp_path / "served.json").write_text(content)
    with pytest.raises(PipeyardError, match=told):
        drift.quality(quality(str(tmp_path / "served.json"), min={"AUC": 0.8}), "", NOW)
