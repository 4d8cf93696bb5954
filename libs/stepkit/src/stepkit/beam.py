"""Beam options from `--beam-args`.

Any of them means Beam; without a `--runner` among them it runs in this process. None means no Beam, or, where a step
can't do without, Beam in this process.
"""

from collections.abc import Sequence
from typing import Any

# Beam's DirectRunner would first look for a Prism binary on the internet; this one is in the package.
DEFAULT_RUNNER = "FnApiRunner"


def pipeline_options(beam_args: Sequence[str]) -> Any:
    """Returns Beam's PipelineOptions for `beam_args`, in this process unless they name a runner.

    Module state that workers need (a pipeline module's globals) is shipped along where the runner is remote.
    """
    from apache_beam.options.pipeline_options import PipelineOptions  # pylint: disable=import-outside-toplevel,import-error

    flags = list(beam_args)
    if not names_runner(flags):
        flags.append(f"--runner={DEFAULT_RUNNER}")
    return PipelineOptions(flags)


def names_runner(beam_args: Sequence[str]) -> bool:
    """True if a runner is chosen by the arguments."""
    return any(flag == "--runner" or flag.startswith("--runner=") for flag in beam_args)
