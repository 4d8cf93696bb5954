"""The supervisor's process.

    python -m pipeyard.serving.supervising FOLDER LOCK KEEPER [stop]

KEEPER is the process that starts the next one when this one is killed; see `keeper`. Exit code 0: all is stopped.
"""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from pipeyard.repository import venvs
from pipeyard.serving import serving_logs, serving_state, start_options
from pipeyard.serving.aliases import AliasMover
from pipeyard.serving.decisions import RolloutWatcher
from pipeyard.serving.envoy import EnvoyRouter
from pipeyard.serving.served_processes import ServedProcesses
from pipeyard.serving.serving_folder import ServingFolder
from pipeyard.serving.start_options import StartOptions
from pipeyard.serving.supervisor import ServingEdges, Supervisor
from pipeyard.serving.wanted_models import WantedReader

_TICK_SECONDS = 0.1
_KEEP_LOGS_SECONDS = 3600
_NOT_INHERITED = venvs.NOT_INHERITED | {"PYTHONPATH", "VIRTUAL_ENV"}
_log = logging.getLogger("pipeyard.serving")


def main() -> int:
    """Supervises until SIGTERM; then ends all, and leaves no file but logs."""
    folder, lock, keeper = ServingFolder(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    if sys.argv[4:] == ["stop"]:
        stop.set()
    processes = ServedProcesses(folder.path, folder.logs)
    for process in processes.adopt():
        _log.info("takes over %s, process %d", process.role, process.pid)
    if not stop.is_set():
        orphaned = _supervise(folder, start_options.read(folder.start), processes, stop, keeper)
        if orphaned:
            _log.warning("the keeper was killed: this process takes its place")
            os.execv(sys.executable, [sys.executable, "-m", "pipeyard.serving.keeper", str(folder.path), str(lock)])
    left = processes.end_all()
    serving_state.remove(folder)
    _log.info("stopped" if not left else f"stopped, but for {left} processes that don't end")
    return 0


def _supervise(
    folder: ServingFolder, options: StartOptions, processes: ServedProcesses, stop: threading.Event, keeper: int
) -> bool:
    """Returns True if it ended because the keeper did."""
    from pipeyard.serving.operators_page import OperatorsPage

    router = EnvoyRouter(folder.router, options.access)
    supervisor = Supervisor(folder, options, ServingEdges(processes, router, _environment()), router.routes())
    publisher = serving_state.StateWriter(folder, options)
    wanted = WantedReader(folder, options.models)
    rollouts, aliases = RolloutWatcher(folder), AliasMover(folder, options)
    page = OperatorsPage(folder, options, publisher.latest)
    threads = (rollouts, aliases, page)
    for each in threads:
        each.start()
    kept_at = float("-inf")
    while not stop.wait(_TICK_SECONDS):
        if os.getppid() != keeper:
            return True
        try:
            if time.monotonic() - kept_at > _KEEP_LOGS_SECONDS:
                kept_at = time.monotonic()
                serving_logs.keep(folder.logs, options.log_days)
            models = wanted.read()
            status = supervisor.tick([each.wanted for each in models])
            rollouts.see(models, status)
            aliases.see(models)
            publisher.write(models, status, rollouts.told(), aliases.problems())
        except OSError:  # a full disk, say: what runs runs on
            _log.exception("a look failed; the next one comes")
    for each in threads:
        each.stop()
    return False


def _environment() -> dict[str, str]:
    """Returns what programs of other environments get of ours."""
    return {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}


if __name__ == "__main__":
    sys.exit(main())
