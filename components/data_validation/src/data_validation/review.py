"""Brings a schema up to date with data, for review: `pipeyard schema` calls it.

python -m data_validation.review --schema FILE --statistics FOLDER --updated FILE --changes FILE
"""

import argparse
import json
import sys
from collections.abc import Sequence

from stepkit import cli


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(
        prog="data_validation.review", description="Brings a schema up to date with data, and says what changed."
    )
    parser.add_argument("--schema", required=True, help="schema of tensorflow_metadata as text proto")
    parser.add_argument("--statistics", required=True, help="statistics artifact of data that was checked against it")
    parser.add_argument("--updated", required=True, help="file to write: the schema that the data fits")
    parser.add_argument("--changes", required=True, help="file to write: what changed in it, as JSON")
    return parser


def _review(args: argparse.Namespace) -> None:
    # pylint: disable=import-outside-toplevel  # heavy, and in this order
    from data_validation.quiet import import_tfdv

    import_tfdv()
    from google.protobuf import text_format

    from data_validation import storing, updating
    from stepkit import schemas
    from stepkit.outputs import Outputs

    given = schemas.read(args.schema)
    every = storing.read(args.statistics, "statistics")
    splits = {name: dataset for name, dataset in every.items() if "/" not in name}  # the others are of slices
    found = updating.updated(given, splits)
    with Outputs() as outputs:
        text = text_format.MessageToString(found, as_utf8=True)
        outputs.file(args.updated).write_text(text, encoding="utf-8")
        told = json.dumps(updating.changes(given, found), ensure_ascii=False)
        outputs.file(args.changes).write_text(told, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs it; returns the exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), _review, argv)


if __name__ == "__main__":
    sys.exit(main())
