"""Paths that may be local or remote (gs://, s3://, anything fsspec knows).

`minio://BUCKET/KEY` is what Kubeflow Pipelines calls an object in the store that it brings along. It is read as S3, at
the endpoint and with the credentials of the environment variables that AWS's own libraries read
(https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html): a step has none of its launcher's.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stepkit.errors import StepError

MINIO = "minio://"
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# Any of them says where credentials are.
_CREDENTIALS = (
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
# All that may be read for a `minio://` URI.
VARIABLES = (*_ENDPOINTS, *_KEYS, *_CREDENTIALS)


def is_remote(uri: str) -> bool:
    """True for `scheme://...` other than `file://`."""
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and scheme != "file"


def local_part(uri: str) -> Path:
    """Returns a local URI (`/a/b`, `a/b`, `file:///a/b`) as a path."""
    return Path(uri.removeprefix("file://"))


def filesystem(uri: str) -> tuple[Any, str]:
    """Returns fsspec's filesystem for `uri` and the path within it.

    Raises:
        StepError: the scheme is unknown or its library is missing, or it is `minio://` and the environment names no
            endpoint or no credentials.
    """
    import fsspec  # pylint: disable=import-outside-toplevel

    options: dict[str, Any] = {}
    if uri.startswith(MINIO):
        # By default botocore would put the bucket into the host name, of which a store in a cluster knows one.
        options = {"endpoint_url": _endpoint(uri, os.environ), "config_kwargs": {"s3": {"addressing_style": "path"}}}
        uri = f"s3://{uri.removeprefix(MINIO)}"
    try:
        fs, path = fsspec.core.url_to_fs(uri, **options)
    except (ImportError, ValueError) as error:
        raise StepError(f"Can't open {uri!r}: {error}. Use a local path, gs://, s3:// or http(s)://.") from error
    return fs, path


def _endpoint(uri: str, variables: Mapping[str, str]) -> str:
    """Returns where the object store of a `minio://` URI is.

    Raises:
        StepError: the variables don't say that, or with which credentials.
    """
    endpoint = next((variables[name] for name in _ENDPOINTS if variables.get(name)), "")
    missing = [] if endpoint else [_ENDPOINTS[1]]
    if not any(variables.get(name) for name in _CREDENTIALS):
        missing += [name for name in _KEYS if not variables.get(name)]
    if missing:
        raise StepError(
            f"Can't open {uri!r}: it is in the object store of Kubeflow Pipelines, to which this step has no access "
            f"of its own. Set {', '.join(missing)} in the step's environment ({_ENDPOINTS[1]} is the store's "
            "http://HOST:PORT; keys go into a Secret), or give the data at a local path, gs:// or s3://."
        )
    return endpoint


def exists(uri: str) -> bool:
    """True if a file or folder is there."""
    if not is_remote(uri):
        return local_part(uri).exists()
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def read_text(uri: str, what: str) -> str:
    """Reads a UTF-8 file.

    Args:
        what: what the file is to the caller, for the error ("schema", "module").

    Raises:
        StepError: nothing is there, or it isn't UTF-8.
    """
    fs, path = filesystem(uri)
    try:
        content: bytes = fs.cat_file(path)
        return content.decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise StepError(f"No {what} at {uri!r}. Check the path; relative ones start at {str(Path.cwd())!r}.") from error
    except UnicodeDecodeError as error:
        raise StepError(f"The {what} at {uri!r} isn't UTF-8 text ({error}). Save it as UTF-8.") from error


@contextlib.contextmanager
def local_copy(uri: str, what: str) -> Iterator[Path]:
    """Gives `uri` as a local file or folder: itself if it is local, else a download that is removed afterwards.

    Raises:
        StepError: nothing is there.
    """
    if not exists(uri):
        raise StepError(f"No {what} at {uri!r}. Check the path; relative ones start at {str(Path.cwd())!r}.")
    if not is_remote(uri):
        yield local_part(uri)
        return
    fs, path = filesystem(uri)
    with tempfile.TemporaryDirectory(prefix="stepkit-") as folder:
        target = Path(folder) / Path(path).name
        fs.get(path, str(target), recursive=fs.isdir(path))
        yield target


def join(base: str, *parts: str) -> str:
    """Joins with `/`, for local and remote alike."""
    return "/".join([base.rstrip("/"), *parts])
