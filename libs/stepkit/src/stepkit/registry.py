"""The model registry: MLflow, in an SQLite file unless `registry_uri` names a server.

A version of the registry is a model pushed to `<serving base>/<name>/<version>/`. MLflow counts its own versions; the
served number is a tag, because the two part as soon as somebody deletes one of either. Aliases (`champion`,
`challenger`) say which version is which.

Needs the extra `stepkit[registry]`.
"""

import contextlib
import fcntl
import importlib
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepkit.errors import StepError

CHAMPION = "champion"
CHALLENGER = "challenger"
DIGEST_TAG = "pipeyard.digest"
VERSION_TAG = "pipeyard.version"
METRIC_TAG_PREFIX = "metric."

_SQLITE = "sqlite:///"
_SQLITE_HEADER = b"SQLite format 3\0"
# MLflow's own defaults let an unreachable server hold a step for ten minutes, and report usage to its makers.
_MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class ModelVersion:
    """A registered model.

    Attributes:
        version: its number under `<serving base>/<name>/`.
        uri: where the SavedModel is.
        digest: `stepkit.digest.of_tree` of the SavedModel.
        tags: lineage, e.g. the run that made it.
    """

    name: str
    version: int
    uri: str
    digest: str
    tags: Mapping[str, str] = field(default_factory=dict)


def get_by_alias(registry_uri: str, name: str, alias: str) -> ModelVersion | None:
    """Returns the version of model `name` that `alias` points to.

    Args:
        registry_uri: `sqlite:///FILE` (four slashes for an absolute path), an http(s) MLflow server, or another
            database that MLflow takes.

    Returns:
        None if the registry's file, the model or the alias doesn't exist; a missing file is not made. The version of
        a model that something else registered is MLflow's number, its digest is empty.

    Raises:
        StepError: the registry can't be reached or read.
    """
    file = _sqlite_file(registry_uri)
    if file and not _is_filled(file):
        return None
    with _errors(registry_uri):
        client = _client(registry_uri)
        model = _get_model(client, name)
        number = model.aliases.get(alias) if model else None
        return _to_version(client.get_model_version(name, str(number))) if number else None


def register(registry_uri: str, version: ModelVersion, alias: str | None, metrics: Mapping[str, float]) -> ModelVersion:
    """Registers a pushed model and points `alias` at it, in the registry that is made if it doesn't exist.

    A version that is registered already (same number, digest and URI) is left as it is; the alias is still set.
    Processes that share an SQLite file take turns by a lock file beside it.

    Args:
        registry_uri: as in `get_by_alias`.
        version: what to register; its tags are kept as MLflow tags.
        alias: None leaves all aliases as they are.
        metrics: kept as tags `metric.<name>`, where characters that MLflow refuses in tags become `_`.

    Returns:
        The version as the registry has it.

    Raises:
        StepError: the registry can't be reached, made or written, or it refuses the name, the alias or the URI.
    """
    with _locked(registry_uri), _errors(registry_uri):
        client = _client(registry_uri)
        if not _get_model(client, version.name):
            _create_model(client, version.name)
        registered = _find(client, version) or client.create_model_version(
            version.name, source=version.uri, tags=_to_tags(version, metrics)
        )
        if alias is not None:
            client.set_registered_model_alias(version.name, alias, str(registered.version))
        return _to_version(registered)


def promote(registry_uri: str, version: ModelVersion, alias: str) -> None:
    """Points `alias` at a registered version, away from the one it pointed to.

    Raises:
        StepError: the version isn't registered, or the registry can't be reached or refuses the alias.
    """
    with _locked(registry_uri), _errors(registry_uri):
        client = _client(registry_uri)
        registered = _find(client, version)
        if not registered:
            raise StepError(
                f"Version {version.version} of model {version.name!r} ({version.uri}) isn't in the registry. "
                "Register it before it gets an alias."
            )
        client.set_registered_model_alias(version.name, alias, str(registered.version))


def withdraw(registry_uri: str, version: ModelVersion, alias: str) -> None:
    """Removes `alias` if it points to a version; else does nothing.

    Raises:
        StepError: the registry can't be reached or written.
    """
    with _locked(registry_uri), _errors(registry_uri):
        client = _client(registry_uri)
        registered, model = _find(client, version), _get_model(client, version.name)
        if registered and model and str(model.aliases.get(alias)) == str(registered.version):
            client.delete_registered_model_alias(version.name, alias)


def tag(registry_uri: str, version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Sets tags of a registered version; of one that isn't registered does nothing.

    Raises:
        StepError: the registry can't be reached or written.
    """
    with _locked(registry_uri), _errors(registry_uri):
        client = _client(registry_uri)
        if registered := _find(client, version):
            for key, value in tags.items():
                client.set_model_version_tag(version.name, str(registered.version), key, value)


def absolute(registry_uri: str) -> str:
    """Returns a registry's URI as it is understood in every folder: a relative path of SQLite's made absolute."""
    file = _sqlite_file(registry_uri)
    if not file or file.is_absolute():
        return registry_uri
    return registry_uri.replace(f"{_SQLITE}{file}", f"{_SQLITE}{file.absolute()}", 1)


def preload() -> None:
    """Imports what a registry in an SQLite file takes; else the first use does, which takes two seconds."""
    _mlflow()
    for name in ("alembic.command", "mlflow.store.tracking.sqlalchemy_store"):
        importlib.import_module(name)


def _find(client: Any, version: ModelVersion) -> Any | None:
    found = client.search_model_versions(f"name = '{version.name}' AND tags.`{VERSION_TAG}` = '{version.version}'")
    same = [item for item in found if item.tags.get(DIGEST_TAG) == version.digest and item.source == version.uri]
    return same[0] if same else None


def _to_tags(version: ModelVersion, metrics: Mapping[str, float]) -> dict[str, str]:
    tags = {**version.tags, VERSION_TAG: str(version.version), DIGEST_TAG: version.digest}
    tags |= {METRIC_TAG_PREFIX + name: repr(float(value)) for name, value in metrics.items()}
    return {re.sub(r"[^\w.\- /]", "_", key): value for key, value in tags.items()}


def _to_version(registered: Any) -> ModelVersion:
    tags = dict(registered.tags)
    number, digest = tags.pop(VERSION_TAG, registered.version), tags.pop(DIGEST_TAG, "")
    return ModelVersion(registered.name, int(number), registered.source, digest, tags)


def _get_model(client: Any, name: str) -> Any | None:
    try:
        return client.get_registered_model(name)
    except _mlflow().exceptions.MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _create_model(client: Any, name: str) -> None:
    try:
        client.create_registered_model(name)
    except _mlflow().exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another deploy was quicker
            raise


def _client(registry_uri: str) -> Any:
    return _mlflow().MlflowClient(tracking_uri=registry_uri, registry_uri=registry_uri)


def _mlflow() -> Any:
    for key, value in _MLFLOW_SETTINGS.items():
        os.environ.setdefault(key, value)
    try:
        import mlflow  # pylint: disable=import-outside-toplevel,import-error
    except ImportError as error:
        raise StepError(f"The model registry needs MLflow ({error}). Install stepkit[registry].") from error
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return mlflow


def check_uri(registry_uri: str) -> None:
    """Checks that a registry's URI is one, without looking what is there.

    Raises:
        StepError: MLflow takes no such URI.
    """
    _sqlite_file(registry_uri)


def _sqlite_file(registry_uri: str) -> Path | None:
    if registry_uri.startswith("sqlite:"):
        file = registry_uri.removeprefix(_SQLITE).partition("?")[0]
        if not registry_uri.startswith(_SQLITE) or file in ("", ":memory:"):
            raise StepError(f"The registry URI {registry_uri!r} names no file. Give sqlite:///FILE.")
        return Path(file)
    if not re.match(r"(https?|postgresql|mysql|mssql)(\+\w+)?://", registry_uri):
        raise StepError(
            f"The registry URI {registry_uri!r} is none that MLflow takes. Give sqlite:///FILE or an http(s) server."
        )
    return None


def _is_filled(file: Path) -> bool:
    """True if `file` is an SQLite database, False if it is missing or empty."""
    try:
        with file.open("rb") as stream:
            header = stream.read(len(_SQLITE_HEADER))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StepError(f"The model registry {str(file)!r} can't be read: {error.strerror}. Check the path.") from error
    if header and header != _SQLITE_HEADER:
        raise StepError(
            f"The model registry {str(file)!r} is no SQLite database. Restore it from a backup, or give another "
            "registry_uri."
        )
    return bool(header)


@contextlib.contextmanager
def _locked(registry_uri: str) -> Iterator[None]:
    """Holds the lock of an SQLite registry, whose file is made if it is missing; for a server does nothing."""
    file = _sqlite_file(registry_uri)
    if not file:
        yield
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f".{file.name}.lock").open("wb")
    except OSError as error:
        raise StepError(
            f"The model registry {str(file)!r} can't be written: {error.strerror}. Check the path and its permissions."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_filled(file):
            with _errors(registry_uri):
                _create(file)
        yield


def _create(file: Path) -> None:
    # MLflow migrates a new file in many transactions: killed halfway it would leave one that it can't open again.
    aside = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with _unsynced():
            _client(f"{_SQLITE}{aside}").search_registered_models(max_results=1)
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _unsynced() -> Iterator[None]:
    """Lets SQLite not wait for the disk after each transaction, of which a new file takes hundreds."""
    from sqlalchemy import event  # pylint: disable=import-outside-toplevel,import-error
    from sqlalchemy.engine import Engine  # pylint: disable=import-outside-toplevel,import-error

    def relax(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)


@contextlib.contextmanager
def _errors(registry_uri: str) -> Iterator[None]:
    """Translates what MLflow, the database and its driver raise. Messages show no password of the URI."""
    raised = _mlflow().exceptions.MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # pylint: disable=import-outside-toplevel,import-error

    shown = re.sub(r"//[^/@]*@", "//***@", registry_uri)
    try:
        yield
    except (raised, SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0][:500].rstrip(".")
        raise StepError(
            f"The model registry {shown!r} refused or didn't answer: {reason}. Check registry_uri, and that the "
            "server runs or the file is a whole MLflow database."
        ) from error
    except OSError as error:
        raise StepError(
            f"The model registry {shown!r} can't be used: {error}. Check the path and free space."
        ) from error
