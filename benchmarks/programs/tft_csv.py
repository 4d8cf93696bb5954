"""Stock TFT: CSV through CsvTFXIO and Beam to gzipped TFRecord. Runs in transform's environment."""

import argparse
import importlib.util
from pathlib import Path

import apache_beam as beam
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public import tfxio


def main() -> None:
    """Analyses and transforms `--train`, transforms `--eval`, and writes graph and examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("train", "eval", "schema", "module", "out"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    spec = importlib.util.spec_from_file_location("pipeline_module", args.module)
    assert spec is not None and spec.loader is not None  # it is a file's
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    schema = text_format.Parse(Path(args.schema).read_text(encoding="utf-8"), schema_pb2.Schema())
    columns = [feature.name for feature in schema.feature]

    options = PipelineOptions(["--runner=FnApiRunner"])  # unnamed, Beam would look for a binary on the internet
    context = tft_beam.Context(temp_dir=f"{args.out}/scratch", use_deep_copy_optimization=True)
    with context, beam.Pipeline(options=options) as pipeline:

        def read(path: str, label: str):
            source = tfxio.BeamRecordCsvTFXIO(
                physical_format="text", column_names=columns, schema=schema, telemetry_descriptors=["benchmark"]
            )
            lines = pipeline | f"Read{label}" >> beam.io.ReadFromText(path, skip_header_lines=1)
            batches = lines | f"Bytes{label}" >> beam.Map(str.encode) | f"Decode{label}" >> source.BeamSource()
            return batches, source.TensorAdapterConfig()

        train = read(args.train, "Train")
        transform_fn = train | tft_beam.AnalyzeDataset(module.preprocessing_fn)
        _ = transform_fn | tft_beam.WriteTransformFn(f"{args.out}/graph")
        for label, data in (("train", train), ("eval", read(args.eval, "Eval"))):
            transformed, metadata = (data, transform_fn) | f"Apply{label}" >> tft_beam.TransformDataset(
                output_record_batches=True
            )
            _ = (
                transformed
                | f"Encode{label}" >> beam.FlatMap(_encoded, tfxio.RecordBatchToExamplesEncoder(metadata.schema))
                | f"Write{label}" >> beam.io.WriteToTFRecord(f"{args.out}/{label}", file_name_suffix=".gz")
            )


def _encoded(transformed, encoder):
    batch, _ = transformed
    return encoder.encode(batch)


if __name__ == "__main__":
    main()
