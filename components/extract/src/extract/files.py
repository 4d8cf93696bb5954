"""Finding the files of a source."""

import glob
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepkit import digest, uris
from stepkit.errors import StepError, near_misses

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}
_UNREAD = (".bz2", ".xz", ".zip", ".7z", ".lz4", ".br", ".snappy", ".tar", ".tgz")
_COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class SourceFile:
    """A file of the source.

    Attributes:
        path: as it was given, or as the glob found it; with its scheme where it is remote.
        size: in bytes, as it is stored.
    """

    path: str
    size: int


def find(globs: Sequence[str]) -> list[SourceFile]:
    """Expands paths and globs, in the order given, by name within each, each file once.

    Raises:
        StepError: one of them matches nothing, or a file is empty.
    """
    found: dict[str, SourceFile] = {}
    for pattern in globs:
        matched = _remote(pattern) if uris.is_remote(pattern) else _local(pattern)
        for file in matched:
            if not file.size:
                raise StepError(f"{file.path!r} is empty. Remove it, or write it again.")
            found.setdefault(_spelled(file.path), file)
    _warn_of_links([file.path for file in found.values()])
    return list(found.values())


def _spelled(path: str) -> str:
    """Returns the one way to write a path, `a/../b.csv` being `b.csv`; links to files stay what they are."""
    return path if uris.is_remote(path) else str(Path(path).parent.resolve() / Path(path).name)


def _warn_of_links(paths: Sequence[str]) -> None:
    """Tells which names lead to a file that another name led to: somebody may want its rows twice."""
    seen: dict[Path, str] = {}
    for path in paths:
        if not uris.is_remote(path) and (first := seen.setdefault(Path(path).resolve(), path)) != path:
            print(f"extract: warning: {path!r} is the same file as {first!r}; its rows come twice", file=sys.stderr)


def _local(pattern: str) -> list[SourceFile]:
    text = str(uris.local_part(pattern))
    names = [text] if Path(text).is_file() else sorted(glob.glob(text, recursive=True))  # noqa: PTH207  # absolute too
    files = [SourceFile(name, Path(name).stat().st_size) for name in names if Path(name).is_file()]
    if files:
        return files
    if Path(text).is_dir():
        raise StepError(
            f"{text!r} in --source is a folder. Give the files in it, e.g. {text.rstrip('/') + '/*.csv'!r}."
        )
    folder = Path(text).parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    if not folder.is_dir():
        raise StepError(
            f"{text!r} in --source matches no file: there is no folder {str(folder)!r}. "
            f"Relative paths start at {str(Path.cwd())!r}."
        )
    raise _nothing(text, str(folder), [item.name for item in folder.iterdir() if item.is_file()])


def _remote(pattern: str) -> list[SourceFile]:
    fs, path = uris.filesystem(pattern)
    try:
        if glob.has_magic(path):
            details = [entry for _, entry in sorted(fs.glob(path, detail=True).items()) if entry["type"] == "file"]
        else:
            details = [fs.info(path)] if fs.isfile(path) else []
    except Exception as error:  # pylint: disable=broad-exception-caught  # each remote filesystem has errors of its own
        raise StepError(
            f"Can't list {pattern!r}: {error}. Check the address, the network and the credentials."
        ) from error
    if details:
        return [SourceFile(fs.unstrip_protocol(entry["name"]), int(entry["size"] or 0)) for entry in details]
    folder = path.rpartition("/")[0]
    while glob.has_magic(folder):
        folder = folder.rpartition("/")[0]
    try:
        names = [name.rpartition("/")[2] for name in fs.ls(folder, detail=False)]
    except FileNotFoundError:
        names = []
    raise _nothing(pattern, fs.unstrip_protocol(folder), names)


def _nothing(pattern: str, folder: str, names: Sequence[str]) -> StepError:
    wanted = pattern.rpartition("/")[2]
    return StepError(f"{pattern!r} in --source matches no file in {folder!r}. {near_misses(wanted, names)}")


def format_of(files: Sequence[SourceFile]) -> str:
    """Returns the format that the files' endings say.

    Raises:
        StepError: an ending says nothing, or they say different things.
    """
    formats: dict[str, str] = {}
    for file in files:
        suffixes = [suffix.lower() for suffix in Path(file.path).suffixes]
        if suffixes and suffixes[-1] in _COMPRESSED:
            suffixes.pop()
        kind = _ENDINGS.get(suffixes[-1] if suffixes else "")
        if not kind:
            if suffixes and suffixes[-1] in _UNREAD:
                raise StepError(f"{file.path!r} is packed as {suffixes[-1]}, which isn't read. Pack it as .gz or .zst.")
            raise StepError(
                f"{file.path!r} doesn't say by its ending what it is. Give --format csv, jsonl, parquet or tfrecord."
            )
        formats.setdefault(kind, file.path)
    kinds = list(formats)
    if len(kinds) > 1:
        shown = " and ".join(f"{kind} ({formats[kind]!r})" for kind in kinds)
        raise StepError(f"--source mixes {shown}. Extract them one by one.")
    return kinds[0]


def same_columns(columns: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Returns the first file's columns.

    Args:
        columns: file to its columns.

    Raises:
        StepError: another file has others; their order may differ.
    """
    first, expected = next(iter(columns.items()))
    for path, found in columns.items():
        for name in expected:
            if name not in found:
                raise _lacks(name, first, path, found)
        for name in found:
            if name not in expected:
                raise _lacks(name, path, first, expected)
    return expected


def _lacks(name: str, path: str, other: str, columns: Sequence[str]) -> StepError:
    return StepError(
        f"Column {name!r} is in {path!r} but not in {other!r}. {near_misses(name, columns)} "
        "Give all files the same columns, or extract them one by one."
    )


def describe(files: Sequence[SourceFile]) -> list[dict[str, Any]]:
    """Returns what the manifest says of each file: path, bytes, and the sha256 of local ones."""

    def one(file: SourceFile) -> dict[str, Any]:
        entry: dict[str, Any] = {"path": file.path, "bytes": file.size}
        if not uris.is_remote(file.path):
            entry["sha256"] = digest.of_file(Path(file.path))
        return entry

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(one, files))
