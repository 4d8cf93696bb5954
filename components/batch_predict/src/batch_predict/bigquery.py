"""A table of BigQuery as what predictions are written to: one load job, which fills it whole or not at all.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepkit.errors import StepError, UsageError

SCHEME = "bigquery://"
# https://cloud.google.com/bigquery/docs/schemas#flexible-column-names
_REFUSED = re.compile(r"[!\"$()*,./;?@\[\\\]^`{}~]")
_RESERVED = ("_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier")
_MOST_NAME = 300

Clients = Callable[[str], Any]  # a project's client


@dataclass(frozen=True)
class Table:
    """A table."""

    project: str
    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.name}"


def is_table(uri: str) -> bool:
    """True if a URI names a table, or should."""
    return uri.startswith(SCHEME)


def parse(uri: str) -> Table:
    """Returns the table that `bigquery://PROJECT/DATASET/TABLE` names.

    Raises:
        UsageError: it names none.
    """
    parts = uri.removeprefix(SCHEME).strip("/").split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"--output-uri {uri!r} names no table; give bigquery://PROJECT/DATASET/TABLE")
    return Table(*parts)


def check(table: Table, columns: Sequence[str], clients: Clients) -> None:
    """Refuses what a load would end in.

    Args:
        columns: of the predictions.

    Raises:
        StepError: the table is there, its dataset isn't, there is no access, or BigQuery takes no such column.
    """
    from google.api_core.exceptions import GoogleAPIError, NotFound

    for name in columns:
        if _REFUSED.search(name) or len(name) > _MOST_NAME or name.lower().startswith(_RESERVED):
            raise StepError(f"BigQuery has no column called {name!r}. Rename it in extract's query, or write Parquet.")
    client = clients(table.project)
    try:
        client.get_dataset(f"{table.project}.{table.dataset}")
    except NotFound as error:
        raise StepError(
            f"There is no dataset {table.dataset!r} in project {table.project!r} of BigQuery. Make it, or correct "
            "--output-uri."
        ) from error
    except GoogleAPIError as error:
        raise StepError(f"BigQuery can't be asked for {table}: {error}. Check the access of this step.") from error
    try:
        client.get_table(str(table))
    except NotFound:
        return
    except GoogleAPIError as error:
        raise StepError(f"BigQuery can't be asked for {table}: {error}. Check the access of this step.") from error
    raise StepError(f"The table {table} of BigQuery is there already. Give another, or delete it.")


def load(table: Table, file: Path, clients: Clients) -> None:
    """Fills a new table with a Parquet file.

    Raises:
        StepError: the job failed; then there is no table.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.cloud import bigquery  # pylint: disable=no-name-in-module

    lists = bigquery.ParquetOptions()
    lists.enable_list_inference = True
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition=bigquery.WriteDisposition.WRITE_EMPTY,
        parquet_options=lists,
    )
    try:
        with file.open("rb") as stream:
            clients(table.project).load_table_from_file(stream, str(table), job_config=config).result()
    except GoogleAPIError as error:
        raise StepError(f"BigQuery couldn't load {table}: {error}. Nothing was kept.") from error


def google_client(project: str) -> Any:
    """Returns Google's client.

    Raises:
        StepError: there are no credentials.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import bigquery  # pylint: disable=no-name-in-module

    try:
        return bigquery.Client(project=project)
    except GoogleAuthError as error:
        raise StepError(
            f"No credentials for BigQuery ({error}). Run gcloud auth application-default login, "
            "or give the step a service account."
        ) from error
