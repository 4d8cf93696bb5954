"""TFDV's own statistics of a CSV file. Runs in data_validation's environment."""

import sys

import tensorflow_data_validation as tfdv
from apache_beam.options.pipeline_options import PipelineOptions

# Without a name Beam would look for a binary on the internet first.
options = PipelineOptions(["--runner=FnApiRunner"])
tfdv.generate_statistics_from_csv(sys.argv[1], output_path=sys.argv[2], pipeline_options=options)
