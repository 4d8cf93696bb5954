"""What triggers read: statistics and metrics, wherever they are."""

import contextlib
from collections.abc import Iterator

from pipeyard.errors import PipeyardError
from pipeyard.triggers.domain import EventKind
from stepkit import served, uris
from stepkit.errors import StepError

# What deploy pushes beside a model, by which it is compared with.
_KEPT = {EventKind.DRIFT: served.STATISTICS, EventKind.QUALITY: served.RECORD}


def read(uri: str, name: str, what: str) -> bytes:
    """Returns a file; of a folder, the file of that name in it.

    Args:
        what: what it is, for messages.

    Raises:
        PipeyardError: it isn't there, or can't be read.
    """
    with _faults(f"The {what} at {uri}"), uris.local_copy(uri, what) as path:
        file = path / name if path.is_dir() and name else path
        if not file.is_file():
            raise PipeyardError(f"The {what} at {uri} have no file {name or '(it is a folder)'}. Check the URI.")
        return file.read_bytes()


def of_served(uri: str, kind: EventKind) -> str:
    """Returns the URI of the statistics, or of the record with metrics, of the newest version of a served model.

    Args:
        uri: a model's folder in a TF Serving layout; any other is returned as it is, and so is what can't be listed.

    Raises:
        PipeyardError: the version has none, or the folder can't be read.
    """
    with _faults(f"What is at {uri}"):
        try:
            number = next(served.versions(uri), None)
        except OSError:  # gcsfs' 403 is no PermissionError; what can't be reached at all fails again when it is read
            return uri
        if number is None:
            return uri
        found = uris.join(uri, str(number), _KEPT[kind])
        if not uris.exists(found):
            raise PipeyardError(
                f"Version {number} at {uri} has no {_KEPT[kind]}: something else than today's deploy pushed it. "
                "Run the pipeline once, or name the artifact itself as the trigger's `baseline:`."
            )
        return found


@contextlib.contextmanager
def _faults(what: str) -> Iterator[None]:
    try:
        yield
    except PipeyardError:
        raise
    except StepError as error:
        raise PipeyardError(str(error)) from error
    except Exception as error:  # each remote filesystem has errors of its own
        raise PipeyardError(
            f"{what} can't be read: {error or type(error).__name__}. Check the URI, the network, and what the account "
            "may read."
        ) from error
