"""Runs TFX's pipeline up to the schema (--prepare), or its Transform alone on what that made."""

import argparse
import json
from pathlib import Path

import common
from tfx import v1 as tfx


def _transform(args: argparse.Namespace) -> tfx.dsl.Pipeline:
    (examples_uri,) = args.prepared.glob("prepared/CsvExampleGen/examples/*")
    (schema_uri,) = args.prepared.glob("prepared/SchemaGen/schema/*")
    examples = tfx.dsl.Importer(
        source_uri=str(examples_uri),
        artifact_type=tfx.types.standard_artifacts.Examples,
        properties={"split_names": '["train", "eval"]'},
        custom_properties={"file_format": "tfrecords_gzip", "payload_format": "FORMAT_TF_EXAMPLE"},
    ).with_id("examples")
    schema = tfx.dsl.Importer(source_uri=str(schema_uri), artifact_type=tfx.types.standard_artifacts.Schema).with_id(
        "schema"
    )
    transform, _ = common.transform(
        args.module,
        args.sparse,
        args.transform_statistics,
        args.root,
        examples=examples.outputs["result"],
        schema=schema.outputs["result"],
    )
    return common.pipeline(args.root, "transformed", [examples, schema, transform])


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepare", type=Path, metavar="CSV_FOLDER")
    parser.add_argument("--prepared", type=Path, help="--root of an earlier --prepare")
    parser.add_argument("--module", type=Path, help="pipelines/NAME/module.py")
    parser.add_argument("--sparse", type=json.loads, default=[], help="JSON array of raw features (see user_module.py)")
    parser.add_argument("--root", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--transform-statistics", action="store_true", help="leave Transform's own statistics on")
    args = parser.parse_args()
    prepare = args.prepare and common.pipeline(args.root, "prepared", common.ingest(args.prepare))
    tfx.orchestration.LocalDagRunner().run(prepare or _transform(args))


if __name__ == "__main__":
    main()
