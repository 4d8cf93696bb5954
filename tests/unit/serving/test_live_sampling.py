"""Which requests are kept, without which columns; and what `pipeyard serve monitor` says where there are none."""

import re

import duckdb
import pytest

from pipeyard.errors import PipeyardError
from pipeyard.serving import live_monitoring, sampling
from pipeyard.serving.sampling import LiveSampling
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from stepkit import model_description
from stepkit.model_description import ModelDescription

NEW, OLD = ServedVersion("taxi", 2), ServedVersion("taxi", 1)


@pytest.fixture
def folder(tmp_path):
    """Version 2 reads a column more than version 1."""
    for version, columns in ((OLD, ["fare"]), (NEW, ["fare", "Company Name"])):
        description = ModelDescription("tips", raw_types=dict.fromkeys(columns, "FLOAT"))
        file = tmp_path / str(version) / model_description.FILE
        file.parent.mkdir(parents=True)
        file.write_text(description.to_json())
        (tmp_path / str(version) / "saved_model.pb").touch()
    return ServingFolder(tmp_path)


def test_nothing_is_kept_unless_it_is_asked_for(folder):
    assert sampling.arguments(LiveSampling(), folder, NEW) == []


def test_a_version_is_told_to_leave_out_those_of_its_columns(folder):
    asked = LiveSampling(0.25, ("Company Name",), 3, 50)
    old, new = (sampling.arguments(asked, folder, version) for version in (OLD, NEW))
    assert old == [
        *("--log-requests", str(folder.path / ".serve/samples/taxi"), "--log-rate", "0.25"),
        *("--log-days", "3", "--log-megabytes", "50"),
    ]
    assert new == [*old, "--log-without", "Company Name"]


def test_a_version_that_doesn_t_tell_its_columns_gets_all_names_and_refuses_what_it_hasn_t(folder):
    (folder.version(NEW) / model_description.FILE).unlink()
    assert sampling.arguments(LiveSampling(1, ("x",)), folder, NEW)[-2:] == ["--log-without", "x"]
    sampling.check(("x",), folder, ["taxi"])


def test_a_misspelt_column_is_refused_before_anything_is_kept(run_pipeyard, folder):
    sampling.check(("Company Name",), folder, ["taxi"])
    at = ("serve", "--folder", str(folder.path), "start", "--sample", "1", "--sample-without", "Company name")
    code, _, said = run_pipeyard(*at)
    assert code == 1
    assert "--sample-without 'Company name' is no column of a model" in said
    assert "Did you mean 'Company Name'?" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["taxy"], "No model 'taxy' is in .* Did you mean 'taxi'?"),
        (["taxi", "--version", "9"], "taxi has no version 9. There are: 2, 1."),
        (["taxi"], "No request of version 2 of taxi was kept at .* `pipeyard serve start --sample 0.1`"),
        (["taxi", "--last", "soon"], "--last 'soon': this is no length of time"),
    ],
)
def test_what_can_t_be_compared_is_said(run_pipeyard, folder, arguments, says):
    code, _, said = run_pipeyard("serve", "--folder", str(folder.path), "monitor", *arguments)
    assert code == 1
    assert re.search(says, said), said


def test_a_model_without_statistics_is_said(folder, tmp_path):
    samples = folder.samples("taxi")
    samples.mkdir(parents=True)
    (samples / "taxi-v2-20261130T120000000000Z.parquet").touch()
    with pytest.raises(PipeyardError, match="nothing tells what version 2 of taxi was trained on"):
        live_monitoring.compare(None, folder, NEW, live_monitoring.MonitoringOptions(), print)


@pytest.mark.parametrize(("more", "found"), [(", 'a' AS \"Company Name\"", ["fare", "Company Name"]), ("", ["fare"])])
def test_what_is_compared_are_raw_columns_of_single_values(tmp_path, more, found):
    file, said = tmp_path / "taxi-v1-20261130T120000000000Z.parquet", []
    added = "now() AS _time, 'x' AS _request_id, 0 AS _row, 1 AS _version, 0.5 AS \"_score_a b\""
    duckdb.sql(f"COPY (SELECT 1.5 AS fare, ['x'] AS tags{more}, {added}) TO '{file}' (FORMAT parquet)")
    assert live_monitoring._raw_columns(tmp_path / "taxi-v1-*.parquet", said.append) == found
    assert said == ["left out, as they have several values: tags"]


def test_samples_of_nothing_to_compare_are_said(tmp_path):
    duckdb.sql(f"COPY (SELECT ['x'] AS tags, now() AS _time) TO '{tmp_path}/a.parquet' (FORMAT parquet)")
    with pytest.raises(PipeyardError, match="have no column of single values"):
        live_monitoring._raw_columns(tmp_path / "*.parquet", print)
