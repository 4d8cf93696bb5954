"""A table of BigQuery is filled by one load job, and looked at before anything is done."""

import io
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from batch_predict import bigquery, cli, step
from conftest import ROWS
from google.api_core.exceptions import BadRequest, Forbidden, NotFound
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.bigquery import SourceFormat, WriteDisposition

from stepkit.errors import StepError

URI = "bigquery://project-1/scores/march"


class Warehouse:
    """Stands for BigQuery's client, of a project with one dataset."""

    def __init__(self, tables=(), loading=None, asking=None):
        self.tables, self.loading, self.asking = set(tables), loading, asking
        self.loaded = []

    def __call__(self, project):
        assert project == "project-1"
        return self

    def get_dataset(self, name):
        if self.asking:
            raise self.asking
        if name != "project-1.scores":
            raise NotFound("no dataset")

    def get_table(self, name):
        if name not in self.tables:
            raise NotFound("no table")

    def load_table_from_file(self, stream, name, job_config):
        if self.loading:
            return SimpleNamespace(result=self._fail)
        self.loaded.append((name, pq.read_table(io.BytesIO(stream.read())), job_config))
        return SimpleNamespace(result=lambda: None)

    def _fail(self):
        raise self.loading


@pytest.fixture
def asked(model, examples, tmp_path):
    def parse(uri=URI, *flags):
        given = ["--examples", str(examples), "--model", str(model), "--output-uri", uri, *flags]
        return cli.build_parser().parse_args([*given, "--predictions", str(tmp_path / "out" / "predictions")])

    return parse


def test_all_rows_are_loaded_by_one_job(asked, tmp_path):
    warehouse = Warehouse()
    step.run(asked(URI, "--columns", '["id"]'), warehouse)
    ((name, table, config),) = warehouse.loaded
    assert name == "project-1.scores.march"
    assert table["id"].to_pylist() == [row["id"] for row in ROWS]
    assert table.column_names == ["id", "probability", "class", "threshold"]
    assert (config.source_format, config.write_disposition) == (SourceFormat.PARQUET, WriteDisposition.WRITE_EMPTY)
    assert config.parquet_options.enable_list_inference
    assert [path.name for path in (tmp_path / "out" / "predictions").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    ("uri", "flags", "warehouse", "told"),
    [
        (URI, (), Warehouse(["project-1.scores.march"]), "The table project-1.scores.march of BigQuery is there"),
        (URI.replace("scores", "scorse"), (), Warehouse(), "There is no dataset 'scorse' in project 'project-1'"),
        (URI, ("--prefix", "a.b"), Warehouse(), "BigQuery has no column called 'a.bprobability'"),
        (URI, (), Warehouse(asking=Forbidden("no")), "BigQuery can't be asked for project-1.scores.march: 403 no"),
        (URI, (), Warehouse(loading=BadRequest("bad")), "BigQuery couldn't load project-1.scores.march: 400 bad"),
    ],
)
def test_what_is_refused_leaves_nothing(uri, flags, warehouse, told, asked, tmp_path):
    with pytest.raises(StepError, match=told):
        step.run(asked(uri, *flags), warehouse)
    assert not warehouse.loaded
    assert not list((tmp_path / "out").glob("*"))


def test_without_credentials(asked, monkeypatch):
    def refuse(**_):
        raise DefaultCredentialsError("none found")

    monkeypatch.setattr("google.cloud.bigquery.Client", refuse)
    with pytest.raises(StepError, match=r"No credentials for BigQuery \(none found\)"):
        step.run(asked(), bigquery.google_client)
