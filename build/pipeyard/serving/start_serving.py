"""Starts serving a folder, by processes that outlive the terminal, and waits until the models answer."""

import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any

from pipeyard.errors import PipeyardError
from pipeyard.serving import serving_state, start_options
from pipeyard.serving.router_access import LOOPBACK, RouterAccess
from pipeyard.serving.served_processes import ROUTER, ServedProcesses, free_port, log_name
from pipeyard.serving.serving_folder import ServingFolder
from pipeyard.serving.start_options import StartOptions
from pipeyard.system import logs

DEFAULT_PORT = 8500
SUPERVISOR = "supervisor"
_PAUSE_SECONDS = 0.05
_SECONDS = 2.0
_TAIL_LINES = 8
_MOST_FAILURES = 3


@dataclass(frozen=True)
class Served:
    """What is served.

    Attributes:
        already: it was before.
        state: see `serving_state`.
        notes: what the user should know, in sentences.
    """

    options: StartOptions
    already: bool
    state: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def start(
    folder: ServingFolder, options: StartOptions, asked_port: int | None, seconds: float, say: Callable[[str], None]
) -> Served:
    """Serves a folder, unless it is served, and waits until each model's stable version answers.

    Args:
        options: with ports that are wished for.
        asked_port: that it has to be; None: another, if somebody else has the one of `options`.
        seconds: that are waited for at most.
        say: takes what is waited for.

    Raises:
        PipeyardError: the port that was asked for is taken, it is served at another one or to others, or a model
            doesn't answer in time; in the last case what runs runs on.
    """
    lock = hold(folder)
    notes: list[str] = []
    if lock is None:
        known = _read_options(folder)
        if asked_port not in (None, known.port):
            raise PipeyardError(
                f"{folder.path} is served at {known.url} already. Run `pipeyard serve stop` first, or leave --port out."
            )
        if options.access not in (RouterAccess(), known.access):
            raise PipeyardError(
                f"{folder.path} is served at {known.url} already, by other --host, --tls-cert, --tls-key or "
                "--token-file. Run `pipeyard serve stop` first, or leave them out."
            )
        options = known
    else:
        with lock:
            options = _choose_ports(folder, options, asked_port, notes)
            options.write(folder.start)
            folder.state.unlink(missing_ok=True)
            _leave_running(folder, lock.fileno())
    state = _wait(folder, seconds, say)
    return Served(options, lock is None, state, tuple(notes))


def hold(folder: ServingFolder) -> IO[bytes] | None:
    """Returns the folder's lock, held; None if somebody holds it: it is served."""
    folder.own.mkdir(parents=True, exist_ok=True)
    while True:
        lock = folder.lock.open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), folder.lock.stat()):
                return lock
        except BlockingIOError:
            lock.close()
            return None
        except FileNotFoundError:  # whoever held it has just removed it
            pass
        lock.close()


def is_served(folder: ServingFolder) -> bool:
    """Whether somebody holds the folder's lock; changes nothing."""
    try:
        with folder.lock.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def example(served: Served, model: str) -> str:
    """Returns a command that asks a model something, with the row that its server gives as an example."""
    import requests

    session = requests.Session()
    session.trust_env = False
    body: Any = {"instances": [{}]}
    told = served.state["models"][model]
    try:
        # The version's own port wants neither a token nor a certificate's name.
        port = told["versions"][str(told["stable"])]["port"]
        body = session.get(f"http://{LOOPBACK}:{port}/v1/models/{model}", timeout=_SECONDS).json()["example"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        pass
    access = served.options.access
    token = f' -H "authorization: Bearer $(head -n 1 {shlex.quote(access.token_file)})"' if access.token_file else ""
    data = shlex.quote(json.dumps(body))
    url = f"{served.options.url}/v1/models/{model}:predict"
    return f"curl -sS -H 'content-type: application/json'{token} -d {data} {url}"


def _choose_ports(folder: ServingFolder, options: StartOptions, asked: int | None, notes: list[str]) -> StartOptions:
    """Returns options with ports that are free, or that a router of a supervisor that was killed has still."""
    processes = ServedProcesses(folder.path, folder.logs)
    router = next((each for each in processes.adopt() if each.role == ROUTER), None)
    if router and asked in (None, router.ports[0]) and _had_access(folder, options.access):
        port = router.ports[0]
    else:
        if router:
            processes.end(ROUTER)
            while processes.reap():
                time.sleep(_PAUSE_SECONDS)
        port = free_port(options.port, options.access.host)
        if port != options.port:
            if asked is not None:
                raise PipeyardError(f"Port {asked} is taken by another program. Give another --port, or leave it out.")
            notes.append(f"Port {options.port} is taken by another program; models are served at {port}.")
    if options.operators_port == port:
        raise PipeyardError(f"--operators-port is {port}, where models are served. Give another, or leave it out.")
    return replace(options, port=port, operators_port=free_port(options.operators_port or (port + 1) % 65536))


def _had_access(folder: ServingFolder, access: RouterAccess) -> bool:
    """Whether a supervisor that was killed had its router started with this access."""
    try:
        return start_options.read(folder.start).access == access
    except (OSError, ValueError, TypeError):
        return False


def _leave_running(folder: ServingFolder, lock: int) -> None:
    folder.logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pipeyard.serving.keeper", str(folder.path.resolve()), str(lock)]
    with folder.logs.joinpath(log_name(SUPERVISOR)).open("ab") as log:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=[lock], cwd="/"
        )


def _wait(folder: ServingFolder, seconds: float, say: Callable[[str], None]) -> Mapping[str, Any]:
    until = time.monotonic() + seconds
    told = False
    while True:
        state = serving_state.read(folder)
        if serving_state.is_settled(state):
            return state
        failing = _failing(state)
        if failing or time.monotonic() > until or not is_served(folder):
            raise PipeyardError(_why_not(folder, state, failing, seconds))
        if state and not told:
            told = True
            say(f"starting {', '.join(state['models']) or 'the router'}")
        time.sleep(_PAUSE_SECONDS)


def _failing(state: Mapping[str, Any]) -> str:
    """Returns the role of a process that ends again and again; empty: none."""
    if not state:
        return ""
    found = {ROUTER: state["router"]}
    for name, model in state["models"].items():
        found[f"{name}/{model['stable']}"] = model["versions"].get(str(model["stable"]), {})
    return next((role for role, each in found.items() if each.get("failures", 0) >= _MOST_FAILURES), "")


def _why_not(folder: ServingFolder, state: Mapping[str, Any], failing: str, seconds: float) -> str:
    role = failing
    if not role and state:
        unready = [
            f"{name}/{model['stable']}"
            for name, model in state["models"].items()
            if not model["versions"].get(str(model["stable"]), {}).get("healthy")
        ]
        role = unready[0] if unready else ROUTER
    log = folder.logs / log_name(role or SUPERVISOR)
    what = f"{role or 'the supervisor'} doesn't answer after {seconds:g} s"
    if failing:
        what = f"{role} ends again and again"
    elif not is_served(folder):
        what = "What serves has ended meanwhile. Run `pipeyard serve start` again"
    tail = logs.tail(log, _TAIL_LINES)
    stays = " It is tried on; `pipeyard serve stop` ends that." if is_served(folder) else ""
    return f"{what}.{stays} The end of its log, {log}:\n{tail}"


def _read_options(folder: ServingFolder) -> StartOptions:
    try:
        return start_options.read(folder.start)
    except (OSError, ValueError, TypeError) as error:
        raise PipeyardError(
            f"{folder.path} is served, but not by this version of Pipeyard ({error}). Run: pipeyard serve stop"
        ) from error
