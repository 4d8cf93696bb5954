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
    original = re.search(r"Original Line: (.*)", message)
    shown = repr(original[1][:200]) if original else ""
    if count := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        return (
            f"the row has {count[2]} values, the header {count[1]}: {shown}. "
            "Correct the row; quote a value that has the delimiter in it."
        )
    if "unterminated quote" in message or "Maximum line size" in message:
        return (
            f"a quote is opened but not closed properly: {shown}. Close it, and double a quote within a quoted value."
        )
    if "not utf-8 encoded" in message.lower() or "invalid unicode" in message.lower():
        return "the bytes aren't UTF-8 text. Save the file as UTF-8, e.g. by iconv -f LATIN1 -t UTF-8."
    if value := re.search(
        r"Error when converting column \"(.*?)\". Could not convert string \"(.*?)\" to '(.*?)'", message
    ):
        return (
            f"column {value[1]!r} has {value[2]!r}, which is no {value[3]}. "
            f'Correct it, add it to --null-values, or say {{"{value[1]}": "VARCHAR"}} in --column-types.'
        )
    return f"{short(Exception(message))}. Check --where, --query and --column-types."
