"""DuckDB's and Arrow's complaints about data, in terms of the file, line and column, with a remedy."""

import contextlib
import re
from collections.abc import Iterator, Mapping

import duckdb
import pyarrow as pa

from stepkit.errors import StepError

# What advises to use an option of DuckDB's that the step doesn't have.
_ADVICE = re.compile(
    r"(?:\n\s*)?(?:Possible (?:fixes|solutions?)|Try |This type was |Column \S+ is being converted|Disable |Enable |"
    r"\* |You can |Consider |Hint:|Override ).*",
    re.DOTALL,
)


@contextlib.contextmanager
def reading(places: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turns what goes wrong while reading into a StepError. Write nothing inside: a full disk isn't the source's.

    Args:
        places: file that is read to the file of the source that it was written from.
    """
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise explain(str(error), places) from error


def explain(message: str, places: Mapping[str, str] | None = None) -> StepError:
    """Returns the StepError for an error message of DuckDB."""
    file = re.search(r"^\s*file = (.+)$", message, re.MULTILINE)
    line = re.search(r"CSV Error on Line: (\d+)", message)
    if file and line:
        place = (places or {}).get(file[1])
        # A file that was written anew has its rows on other lines.
        where = f"row {int(line[1]) - 1}" if place else f"line {line[1]}"
        return StepError(f"{(place or file[1])!r}, {where}: {_problem(message)}")
    if json := re.search(r'in file "(.+?)", in line (\d+): (.+?)(?:\n|$)', message):
        return StepError(
            f"{(places or {}).get(json[1], json[1])!r}, line {json[2]}: {_shortened(json[3].rstrip('.'))}. "
            "Correct the line, or say the column's type by --column-types."
        )
    for read, place in (places or {}).items():
        message = message.replace(read, place)
    return StepError(f"The source can't be read as asked: {_problem(message)}")


def short(error: Exception) -> str:
    """Returns DuckDB's message on one line, without its copy of the SQL, its advice and tracebacks."""
    text = str(error).partition("\n\nLINE ")[0]
    # An error of a Python reader comes with its traceback: the last line is what it says.
    text = re.sub(r"^.*Traceback \(most recent call last\).*\n[\w.]+: ", "", text.strip(), flags=re.DOTALL)
    text = _ADVICE.sub("", text)
    return re.sub(r"\s+", " ", re.sub(r"^[A-Z][\w ]* Error: ", "", text)).strip().rstrip(".")


def _shortened(text: str) -> str:
    """Leaves out the middle of what may quote a whole line."""
    return text if len(text) <= 200 else f"{text[:100]} … {text[-80:]}"


def _problem(message: str) -> str:
    if value := re.search(
        r"Error when converting column \"(.*?)\". Could not convert string \"(.*?)\" to '(.*?)'", message
    ):
        return (
            f"column {value[1]!r} has {value[2]!r}, which is no {value[3]}. "
            f'Correct it, add it to --null-values, or say {{"{value[1]}": "VARCHAR"}} in --column-types. '
            "If --where or --query casts it, change that."
        )
    return f"{short(Exception(message))}. Check --where, --query and --column-types."
