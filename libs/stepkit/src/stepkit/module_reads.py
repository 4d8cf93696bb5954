"""What a pipeline module reads beside its step's inputs: files, folders, environment variables.

A step's results depend on them, so whoever reuses results has to know them. They are recorded while the module's code
is on the stack: files that Python opens, folders that it lists (audit events), and variables taken from `os.environ`.
What libraries read while they are imported isn't the module's. What is read by other means (TensorFlow's or Arrow's own
file systems, object stores, other processes) the module declares:

    READS = ["gs://acme/words.txt", "/data/words-*.txt", "$REGION"]

Where `$STEPKIT_READS` names a file, as Pipeyard's runner has it, the record is written there as JSON: `files` (path to
time and size when it was first opened; null: absent), `folders`, `variables`, `declared` (URIs, as they are in READS).
"""

import atexit
import importlib.util
import json
import os
import stat
import sys
import sysconfig
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from stepkit import digest
from stepkit.errors import StepError

REPORT = "STEPKIT_READS"
DECLARATION = "READS"
# Parts of the step's environment, whose digest counts anyway; then places that no result should depend on.
_STANDARD = tuple(f"{sysconfig.get_path(each)}{os.sep}" for each in ("stdlib", "platstdlib"))
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_SYSTEM = ("/proc/", "/sys/", "/dev/")
_IMPORTING = "<frozen importlib"
_GENERATED = "__autograph_generated_file"  # TensorFlow's, of a function's source
_MOST_NAMED = 8
_LONGEST_PATH = 4096


@dataclass
class _Record:
    """What one module read."""

    files: dict[str, list[int] | None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    declared: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)  # of files, folders and variables those that it seems to mean to read

    @property
    def empty(self) -> bool:
        return not (self.files or self.folders or self.variables or self.declared)


# By the module's file; a step has one, tests have several.
_records: dict[str, _Record] = {}
_sources: list[str] = []  # the step's own, which count as its component's
_busy = threading.local()


def watch(module: Path) -> None:
    """Records from now on what the code of a module reads.

    Args:
        module: its file, in a folder of its own.
    """
    first = not _records
    _records[str(module)] = _Record()
    if first:
        here = {"", ".", str(Path.cwd())}
        _sources.extend(f"{path.rstrip(os.sep)}{os.sep}" for path in sys.path if path not in here)
        sys.addaudithook(_hear)
        os.environ.__class__ = _Variables  # of the same layout, so Python takes it
        atexit.register(_end)


def declare(module: ModuleType) -> None:
    """Takes up what a module declares.

    Raises:
        StepError: READS isn't a list of texts.
    """
    declared = getattr(module, DECLARATION, [])
    if not isinstance(declared, list | tuple) or not all(isinstance(each, str) and each for each in declared):
        raise StepError(
            f"The pipeline module's {DECLARATION} isn't a list of texts. Write paths, URIs, and variables as $NAME."
        )
    record = _records[str(module.__file__)]
    record.variables |= {each[1:].strip("{}") for each in declared if each.startswith("$")}
    record.declared += [each for each in declared if not each.startswith("$")]
    record.told |= record.variables
    report()


def report() -> None:
    """Writes what was read so far to where `$STEPKIT_READS` says."""
    path, all_read = os.environ.get(REPORT), _together()
    if not path or all_read.empty:
        return
    _busy.now = True
    try:
        text = json.dumps(
            {
                "files": all_read.files,
                "folders": sorted(all_read.folders),
                "variables": sorted(all_read.variables),
                "declared": all_read.declared,
            }
        )
        Path(path).write_text(text, encoding="utf-8")
    finally:
        _busy.now = False


def contents(module: ModuleType) -> list[str]:
    """Returns digests of what a module read so far, as it is now, wherever it is; sorted. Declared URIs go by name."""
    record = _records[str(module.__file__)]
    _busy.now = True
    try:
        found = [digest.of_text(f"{name}={os.environ.get(name)}") for name in record.variables]
        found += [digest.of_tree(Path(path)) if Path(path).exists() else "absent" for path in record.files]
        found += [digest.of_listing(Path(path)) for path in record.folders if Path(path).is_dir()]
        return sorted([*found, *record.declared])
    finally:
        _busy.now = False


def _together() -> _Record:
    together = _Record()
    for each in list(_records.values()):
        together.files |= each.files
        together.folders |= each.folders
        together.variables |= each.variables
        together.declared += each.declared
        together.told |= each.told
    return together


def summary() -> str:
    """Returns in words what was read, but for inputs and what libraries look at by themselves; '' if nothing was."""
    read = _together()
    inputs = tuple(f"{each.rpartition('=')[2].rstrip('/')}/" for each in sys.argv[1:] if len(each) < _LONGEST_PATH)
    places = [
        each
        for each in (*read.files, *sorted(read.folders))
        if each in read.told and not f"{each}/".startswith(tuple(each for each in inputs if len(each) > 1))
    ]
    places += read.declared
    variables = sorted(read.variables & read.told)
    told = []
    if places:
        more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
        told.append(", ".join(places[:_MOST_NAMED]) + more)
    if variables:
        told.append(f"the environment variables {', '.join(variables)}")
    return " and ".join(told)


def _end() -> None:
    report()
    if read := summary():
        print(
            f"The pipeline module reads {read}. Runs on this machine count them for their cache, Kubeflow Pipelines "
            "and Vertex AI don't: there, give the step what it needs as an input, or turn its caching off.",
            file=sys.stderr,
        )


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
    elif event in ("os.listdir", "os.scandir"):
        path, flags = arguments[0], None
    else:
        return
    if getattr(_busy, "now", False) or not isinstance(path, str | bytes | os.PathLike | None):
        return
    _busy.now = True
    try:
        _note_path(os.path.abspath(os.fsdecode(path or ".")), flags)  # noqa: PTH100  # a link may point elsewhere later
    finally:
        _busy.now = False


def _note_path(path: str, flags: int | None) -> None:
    """Notes a file that is opened with flags, or a folder that is listed."""
    own = [f"{Path(module).parent}{os.sep}" for module in _records]
    if _is_library(path) or path.startswith((*_SYSTEM, *_sources, *own)) or _GENERATED in path:
        return
    record, importing, nearest = _reader(sys._getframe(2))  # pylint: disable=protected-access
    if record is None:
        return
    if flags is not None and (flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_TRUNC):
        record.written.add(path)
        return
    source = _source_of(path)
    if (
        source in record.files
        or path in record.written
        or (importing and (flags is None or not source.endswith(".py")))
    ):
        return
    if flags is None:
        record.folders.add(path)
    else:
        record.files[source] = state_of(source)
    if nearest != _STEP:
        record.told.add(source)


def _source_of(path: str) -> str:
    """Returns the source that is run where its bytecode is opened."""
    if not path.endswith(".pyc"):
        return path
    try:
        return importlib.util.source_from_cache(path)
    except ValueError:
        return path


def state_of(path: str) -> list[int] | None:
    """Returns by what a changed file is told: when it was modified (ns), and its bytes (0: a folder); None: absent."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return [found.st_mtime_ns, 0 if stat.S_ISDIR(found.st_mode) else found.st_size]


def _is_library(path: str) -> bool:
    return path.startswith(_STANDARD) or any(each in path for each in _PACKAGES)


# Whose code asks: the module or a helper of it, a package, the step. What the standard library asks its caller does.
_OWN, _PACKAGE, _STEP = "own", "package", "step"


def _kind(file: str) -> str:
    if any(each in file for each in _PACKAGES):
        return _PACKAGE
    if file.startswith(("<", __file__, *_STANDARD)):
        return ""
    return _STEP if file.startswith(tuple(_sources)) else _OWN


def _reader(frame: FrameType | None) -> tuple[_Record | None, bool, str]:
    """Returns the record of the module whose code is on the stack (None: none's), and whose code asks.

    The second value is true if the module, or a helper, is importing what asks.
    """
    importing, nearest, outermost = False, "", ""
    while frame:
        name = frame.f_code.co_filename
        kind = _kind(name)
        importing = importing or (outermost != _OWN and name.startswith(_IMPORTING))
        nearest = nearest or kind
        outermost = kind or outermost
        if name in _records:
            return _records[name], importing, nearest
        if _GENERATED in name:
            return list(_records.values())[-1], importing, nearest
        frame = frame.f_back
    return None, importing, nearest


class _Variables(type(os.environ)):  # type: ignore[misc]  # a class that typeshed doesn't say is one
    """`os.environ` that knows who asks."""

    def __getitem__(self, key: str) -> str:
        if not getattr(_busy, "now", False) and key != REPORT:
            record, importing, nearest = _reader(sys._getframe(1))  # pylint: disable=protected-access
            if record and not importing:
                record.variables.add(key)
                if nearest == _OWN:
                    record.told.add(key)
        value: str = super().__getitem__(key)
        return value
