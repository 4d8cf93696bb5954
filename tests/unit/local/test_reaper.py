"""What a run's reaper ends, when the runner was killed in the middle of starting a step."""

import os
import subprocess
from pathlib import Path

from pipeyard.local import reaper
from pipeyard.runs import run_lock


def test_a_process_that_its_killed_runner_had_only_forked_is_ended_once_it_is_known(tmp_path: Path) -> None:
    (mark,) = (f"{name}={value}" for name, value in reaper.marks_of(tmp_path).items())
    # Until it is told to run its program it has this test's environment and the lock, as one that was just forked.
    command = ["sh", "-c", 'read -r go; exec env "$0" sleep 600', mark]
    lock = (tmp_path / run_lock.FILE).open("w")
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as forked:
        lock.close()
        assert forked.stdin
        waited = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 1:
                assert forked.poll() is None
                assert forked.stdin
                forked.stdin.write(b"go\n")
                forked.stdin.flush()
            os.sched_yield()

        try:
            reaper.end_processes(tmp_path, sleep)
            assert waited
            assert forked.wait(5) == -9
        finally:
            forked.kill()
