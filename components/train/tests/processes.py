"""Runs of the component in processes of their own, forked from one that has imported TensorFlow: that takes 4 s."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["train.step"])


def start(argv: Sequence[str], env: Mapping[str, str]) -> BaseProcess:
    """Starts `python -m train` with more in its environment; its exit code is as the system tells it."""
    process = _SERVER.Process(target=_run, args=(list(argv), dict(env)))
    process.start()
    return process


def _run(argv: list[str], env: dict[str, str]) -> None:
    from train.cli import main

    os.environ.update(env)
    sys.exit(main(argv))
