"""Runs a module as `python -m` does, after importing meanwhile what the module will need.

    python waiting.py REFERENCE...

A reference is `module` or `module:function`, as in entry points: it imports the module, and calls the function. Then it
waits on standard input for a JSON array of the name of the module to run and its arguments, ended by EOF. EOF alone,
which is also what it sees when the runner is killed, ends it. If a reference fails, a new interpreter takes its place
in the same process, where the module fails on its own.

A component's interpreter executes this file by its path: it needs nothing but the standard library.
"""

import sys
from os import getcwd  # loaded already when an interpreter starts, as `sys` is

if not sys.flags.safe_path:
    sys.path[0] = getcwd()  # noqa: PTH109  # as for `-m`; this file's folder has modules that would hide others


def _preload(references: list[str]) -> bool:
    import gc
    import importlib

    gc.disable()  # a fifth of the time of an import goes into looking for garbage, of which it makes none
    try:
        for reference in references:
            name, _, function = reference.partition(":")
            module = importlib.import_module(name)
            if function:
                getattr(module, function)()
        gc.freeze()  # what stays to the end, a million objects, isn't gone through again and again while the step runs
    except BaseException:  # pylint: disable=broad-exception-caught  # whatever it is, the module will meet it again
        return False
    finally:
        gc.enable()
    return True


def _receive() -> list[str]:
    import json
    import os

    with open(0, "rb", closefd=False) as pipe:
        message = pipe.read()
    try:
        received = json.loads(message)
    except ValueError:
        sys.exit()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return received


def _prepare() -> str:
    """Returns the module to run, `sys.argv` being set for it; what the namespace holds of this file is gone then."""
    import os

    references, sys.argv = sys.argv[1:], ["-m"]
    loaded = _preload(references)
    module, *arguments = _receive()
    if not loaded:
        os.ftruncate(1, 0)  # what the references printed they will print again
        os.lseek(1, 0, os.SEEK_SET)
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
    sys.argv[1:] = arguments
    main = sys.modules["__main__"].__dict__
    for name in [name for name in main if not name.startswith("__")]:
        del main[name]
    return module


def _run(module: str) -> None:
    import runpy
    import sys  # pylint: disable=redefined-outer-name,reimported  # the namespace's own is gone

    try:
        # What the interpreter itself calls for `-m`; `runpy.run_module` would run in a namespace that ends before its
        # threads and exit handlers do.
        # pylint: disable-next=protected-access
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]  # it is private, so stubs leave it out
    except Exception as error:  # pylint: disable=broad-exception-caught  # reported as if this file weren't there
        here = error.__traceback__
        error = error.with_traceback(here and here.tb_next)
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


if __name__ == "__main__":
    _run(_prepare())
