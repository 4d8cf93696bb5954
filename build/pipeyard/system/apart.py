"""Calls a function in a process of its own, which ends when its caller does, however that ends.

    python -P -m pipeyard.system.apart DESCRIPTOR

reads pickles from standard input: the caller's `sys.path`, then the call. It writes the pickled outcome to the
descriptor, and meanwhile watches standard input: EOF is what it sees when the caller is gone. (A forked child holds
the other end of that pipe itself, and `multiprocessing` hands that end to its children: both would wait for ever.) The
call is broken off then by an exception, so that it can remove its scratch files.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

# How long a call that is broken off has to clean up.
_GRACE_SECONDS = 3


class KilledError(Exception):
    """The process ended before the call did. `code` is its exit code, negative for a signal."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Returns what `function(*arguments)` does in a new interpreter in this one's folder and environment.

    Args:
        function: of a module; like the arguments, and what it returns, it can be pickled.

    Raises:
        KilledError: the process ended on the way.
        BaseException: what the function raised; a RuntimeError with its text if that can't be pickled.
    """
    message = pickle.dumps(sys.path) + pickle.dumps((function, arguments))
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as outcome:
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipeyard.system.apart", str(writing)],
                stdin=subprocess.PIPE,
                pass_fds=[writing],
            )
        finally:
            os.close(writing)
        assert child.stdin
        try:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(message)
                child.stdin.flush()
            returned, value = pickle.load(outcome)
        except (EOFError, pickle.UnpicklingError) as error:
            raise KilledError(child.wait()) from error
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()  # it ends now, if it hasn't
            child.wait()
    if returned:
        return value
    raise value


class _CallerGoneError(BaseException):
    """The caller has stopped waiting."""


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    try:
        return pickle.dumps((True, function(*arguments)))
    except _CallerGoneError:
        raise
    except BaseException as error:  # pylint: disable=broad-exception-caught  # the caller raises it
        with contextlib.suppress(Exception):
            said = pickle.dumps((False, error))
            pickle.loads(said)  # some exceptions' arguments aren't those that make them again
            return said
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _end_with_the_caller() -> None:
    while os.read(0, 1):
        pass
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


def _break_off(_signum: int, _frame: object) -> None:
    raise _CallerGoneError


def main(descriptor: int) -> None:
    """Makes the call that standard input tells."""
    with open(0, "rb", closefd=False) as pipe:
        sys.path[:] = pickle.load(pipe)
        function, arguments = pickle.load(pipe)
    signal.signal(signal.SIGTERM, _break_off)
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    try:
        said = _outcome(function, arguments)
        with open(descriptor, "wb") as stream:
            stream.write(said)
    except _CallerGoneError:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
