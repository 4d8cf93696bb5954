import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeyard.errors import PipeyardError
from pipeyard.system import apart

# A pipeline whose import tells its process, by a FIFO that the test reads, and then takes for ever.
_ENDLESS = """
import os, time
with open({fifo!r}, "w") as told:
    told.write(str(os.getpid()))
while True: time.sleep(60)
"""
_CALLER = """
import sys
from pathlib import Path
from pipeyard.compiling import compiler
compiler.compile_apart(Path(sys.argv[1]))
"""


def test_a_call_apart_returns_and_raises_as_here():
    assert apart.call(os.path.join, "a", "b") == "a/b"
    assert apart.call(os.getpid) != os.getpid()
    assert apart.call(os.getcwd) == os.getcwd()  # noqa: PTH109
    with pytest.raises(PipeyardError, match="broken"):
        apart.call(_fail, "broken")
    with pytest.raises(apart.KilledError) as caught:
        apart.call(_die)
    assert caught.value.code == -signal.SIGKILL


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_what_compiles_ends_when_its_caller_is_killed(tmp_path: Path, how: signal.Signals):
    fifo, folder = tmp_path / "fifo", tmp_path / "p"
    os.mkfifo(fifo)
    folder.mkdir()
    (folder / "pipeline.py").write_text(_ENDLESS.format(fifo=str(fifo)))
    with subprocess.Popen([sys.executable, "-c", _CALLER, str(folder)], start_new_session=True) as caller:
        compiling = psutil.Process(int(fifo.read_text()))  # waits until it is written
        assert compiling.pid != caller.pid
        caller.send_signal(how)
    psutil.wait_procs([compiling], timeout=30)
    assert not compiling.is_running()


def _fail(text: str) -> None:
    raise PipeyardError(text)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
