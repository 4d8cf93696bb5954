import os
import pty
import subprocess
import sys

from stepkit import progress

SCRIPT = "from stepkit import progress\nwith progress.bar('Reading', 10) as advance:\n  advance(4); advance(6)"


def test_silent_off_a_terminal(capfd):
    with progress.bar("Reading", 10) as advance:
        advance(4)
    assert capfd.readouterr() == ("", "")
    ended = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")


def test_a_bar_on_a_terminal():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stderr=theirs, stdout=subprocess.PIPE, env=environment
    ) as made:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # Linux reports the end of a terminal so
                break
            if not data:
                break
            shown += data
        assert made.stdout and made.stdout.read() == b""
    os.close(ours)
    assert made.returncode == 0
    assert b"Reading" in shown
    assert b"10 rows" in shown
