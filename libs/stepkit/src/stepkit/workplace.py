"""Where Beam's workers are, and where they and the step find each other's files.

Needs Beam, which a component brings.
"""

import contextlib
import logging
import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.io.filesystems import FileSystems  # pylint: disable=import-error
from apache_beam.options.pipeline_options import (  # pylint: disable=import-error
    GoogleCloudOptions,
    PortableOptions,
    StandardOptions,
)

from stepkit import beam, uris
from stepkit.errors import StepError, UsageError, near_misses

# What a worker's error looks like once Beam has turned it into text, and what Beam adds to it even where it keeps its
# type.
_STEP_ERROR = re.compile(r"\bStepError: (.*)")
_WHILE = re.compile(r" \[while running .*")
# Where a worker of the same project reads what another program wrote: its account, not a key, is what has access.
_SURE = "gs://"


@dataclass(frozen=True)
class Workplace:
    """Folders that the workers and this process both see.

    Attributes:
        options: Beam's PipelineOptions.
        scratch: URI of a folder that is removed at the end.
        shared: True if workers don't see this machine's disk.
    """

    options: Any
    scratch: str
    shared: bool

    def sent(self, path: Path, also_at: str = "") -> str:
        """Returns a URI from which workers can read a local file or folder: a copy of it, if need be.

        Args:
            also_at: the URI that the local one was downloaded from, if it is known. Workers read from there where they
                are sure to be able to: on Cloud Storage, if they exchange files there. Of what is on `s3://` or
                `minio://`, KFP's launcher has credentials that neither this step nor the workers have.
        """
        if not self.shared:
            return str(path.absolute())
        if also_at.startswith(_SURE) and self.scratch.startswith(_SURE):
            return also_at
        uri = uris.join(self.scratch, uuid.uuid4().hex, path.name)
        fs, target = uris.filesystem(uri)
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        if path.is_dir():
            fs.put(f"{path}/", f"{target}/", recursive=True)
        else:
            fs.put(str(path), target)
        return uri

    @contextlib.contextmanager
    def readable(self, uri: str, what: str) -> Iterator[str]:
        """Gives a URI from which workers can read the file or folder `uri`.

        Raises:
            StepError: nothing is there.
        """
        if self.shared and uris.is_remote(uri):
            yield uri
            return
        with uris.local_copy(uri, what) as path:
            yield self.sent(path)

    @contextlib.contextmanager
    def folder(self, local: Path) -> Iterator[str]:
        """Gives a URI that workers can write below; what they wrote is in `local` afterwards."""
        if not self.shared:
            yield str(local)
            return
        uri = uris.join(self.scratch, uuid.uuid4().hex)
        yield uri
        fs, path = uris.filesystem(uri)
        fs.get(f"{path}/", f"{local}/", recursive=True)


@contextlib.contextmanager
def open_workplace(beam_args: Sequence[str], program: str) -> Iterator[Workplace]:
    """Reads the Beam arguments of a program.

    Raises:
        UsageError: they name no runner that Beam knows, or lack a folder that remote workers can reach and Beam write.
    """
    options = beam.pipeline_options(beam_args)
    runner = options.view_as(StandardOptions).runner
    spellings = {runner.lower(), f"{runner.lower()}runner"}
    if "." not in runner and not spellings & {name.lower() for name in StandardOptions.KNOWN_RUNNER_NAMES}:
        raise UsageError(
            f"--beam-args: Beam has no runner {runner!r}. {near_misses(runner, StandardOptions.KNOWN_RUNNER_NAMES)}"
        )
    here = bool(spellings & {name.lower() for name in StandardOptions.LOCAL_RUNNERS})
    if here or options.view_as(PortableOptions).environment_type == "LOOPBACK":
        with tempfile.TemporaryDirectory(prefix=f"{program}-") as scratch:
            yield Workplace(options, scratch, shared=False)
        return
    base = options.view_as(GoogleCloudOptions).temp_location
    if not base:
        raise UsageError(
            f"--beam-args: {runner} has workers elsewhere; add --temp_location=URI, a folder that all reach"
        )
    try:
        FileSystems.get_filesystem(base)
    except ValueError as error:
        raise UsageError(
            f"--beam-args: Beam can't write to --temp_location={base}; give a folder at gs://, s3:// or another scheme "
            "that this Beam has a filesystem for"
        ) from error
    scratch = uris.join(base, f"{program}-{uuid.uuid4().hex}")
    fs, path = uris.filesystem(scratch)
    fs.makedirs(path, exist_ok=True)
    try:
        yield Workplace(options, scratch, shared=True)
    finally:
        if fs.exists(path):  # object stores have no folder until there is something in it
            fs.rm(path, recursive=True)


@contextlib.contextmanager
def explained(what: str, instead: str, beam_args: Sequence[str] = ()) -> Iterator[None]:
    """Makes whatever a runner raises an error that says what failed, and what to do.

    Args:
        what: was done on Beam, with a capital.
        instead: what becomes of it without `--beam-args`.
        beam_args: to be named, where they aren't known to be good yet.

    Raises:
        StepError: as a worker raised it; or of any other failure.
        SystemExit: the step is being cancelled.
    """
    try:
        yield
    except Exception as error:  # pylint: disable=broad-exception-caught  # runners raise whatever they like
        logging.debug("Beam", exc_info=True)
        if known := reason(error):
            raise known from error
        last = (str(error).strip().splitlines() or [""])[-1]
        by = f" with --beam-args {list(beam_args)}" if beam_args else ""
        cause = f"{type(error).__name__}: {last}".rstrip(": .")
        raise StepError(
            f"{what} failed on Beam{by}: {cause}. Check --beam-args and the runner's own log; without --beam-args "
            f"{instead}."
        ) from error


def reason(error: Exception) -> StepError | SystemExit | None:
    """Returns what made a pipeline fail that the step expects; None if it is something else.

    A SystemExit: the step is being cancelled (see `stepkit.cli.run`), which Beam takes for a worker's failure.
    A StepError: as it was raised, wherever it was.
    """
    cause = error.__cause__ or error.__context__
    while cause:
        if isinstance(cause, SystemExit):
            return cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, StepError):
        return type(error)(_WHILE.sub("", str(error)))
    found = _STEP_ERROR.findall(str(error))
    return StepError(_WHILE.sub("", found[-1])) if found else None
