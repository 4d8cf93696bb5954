"""Where Beam's workers are, and where they find files."""

import contextlib
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PortableOptions, StandardOptions

from stepkit import beam, uris
from stepkit.errors import UsageError, near_misses


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
    def readable(self, uri: str, what: str) -> Iterator[str]:
        """Gives a URI from which workers can read the folder `uri`."""
        if not self.shared:
            with uris.local_copy(uri, what) as path:
                yield str(path)
        elif uris.is_remote(uri):
            yield uri
        else:
            copy = uris.join(self.scratch, uuid.uuid4().hex)
            with uris.local_copy(uri, what) as path:
                fs, target = uris.filesystem(copy)
                fs.put(f"{path}/", f"{target}/", recursive=True)
            yield copy


@contextlib.contextmanager
def open_workplace(beam_args: Sequence[Any]) -> Iterator[Workplace]:
    """Reads the Beam arguments.

    Raises:
        UsageError: they aren't text, name no runner that Beam knows, or lack a folder that remote workers can reach.
    """
    strange = [item for item in beam_args if not isinstance(item, str)]
    if strange:
        raise UsageError(f"--beam-args takes an array of strings; {strange[0]!r} isn't one")
    options = beam.pipeline_options(beam_args)
    runner = options.view_as(StandardOptions).runner
    known = {name.lower() for name in StandardOptions.KNOWN_RUNNER_NAMES}
    if "." not in runner and not {runner.lower(), f"{runner.lower()}runner"} & known:
        raise UsageError(
            f"--beam-args: Beam has no runner {runner!r}. {near_misses(runner, StandardOptions.KNOWN_RUNNER_NAMES)}"
        )
    local = {name.lower() for name in StandardOptions.LOCAL_RUNNERS}
    here = bool({runner.lower(), f"{runner.lower()}runner"} & local)
    here = here or options.view_as(PortableOptions).environment_type == "LOOPBACK"
    if here:
        with tempfile.TemporaryDirectory(prefix="transform-") as scratch:
            yield Workplace(options, scratch, shared=False)
        return
    base = options.view_as(GoogleCloudOptions).temp_location
    if not base:
        raise UsageError(
            f"--beam-args: {runner} has workers elsewhere; add --temp_location=URI, a folder that all reach"
        )
    scratch = uris.join(base, f"transform-{uuid.uuid4().hex}")
    fs, path = uris.filesystem(scratch)
    fs.makedirs(path, exist_ok=True)
    try:
        yield Workplace(options, scratch, shared=True)
    finally:
        fs.rm(path, recursive=True)
