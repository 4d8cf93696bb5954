"""DuckDB's and Arrow's complaints about data, in terms of the file, line and column, with a remedy."""

import contextlib
import re
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from stepkit.errors import StepError


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turns what goes wrong while reading into a StepError. Write nothing inside: a full disk isn't the source's."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise explain(str(error)) from error


def explain(message: str) -> StepError:
    """Returns the StepError for an error message of DuckDB."""
    file = re.search(r"^\s*file = (.+)$", message, re.MULTILINE)
    line = re.search(r"CSV Error on Line: (\d+)", message)
    if file and line:
        return StepError(f"{file[1]!r}, line {line[1]}: {_problem(message)}")
    return StepError(f"The source can't be read as asked: {_problem(message)}")


def short(error: Exception) -> str:
    """Returns DuckDB's message on one line, without its copy of the SQL."""
    text = str(error).partition("\n\nLINE ")[0]
    return re.sub(r"\s+", " ", re.sub(r"^[A-Z][\w ]* Error: ", "", text)).strip().rstrip(".")


def _problem(message: str) -> str:
    if value := re.search(
        r"Error when converting column \"(.*?)\". Could not convert string \"(.*?)\" to '(.*?)'", message
    ):
        return (
            f"column {value[1]!r} has {value[2]!r}, which is no {value[3]}. "
            f'Correct it, add it to --null-values, or say {{"{value[1]}": "VARCHAR"}} in --column-types.'
        )
    return f"{short(Exception(message))}. Check --where, --query and --column-types."
