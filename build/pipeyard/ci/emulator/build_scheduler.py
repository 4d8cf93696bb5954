"""Executes a build as Cloud Build does: a step starts when what it waits for has succeeded, a failure ends it all."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pipeyard.ci.build_config import BuildConfig, BuildStep
from pipeyard.ci.emulator.processes import StepExecutor
from pipeyard.system import process


class Status(StrEnum):
    """Of a build or a step, as Cloud Build calls them."""

    QUEUED = "QUEUED"
    WORKING = "WORKING"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"


_FAILED = (Status.FAILURE, Status.TIMEOUT)


@dataclass
class StepResult:
    """How a step went.

    Attributes:
        allowed: its failure doesn't fail the build.
        code: exit code; None if it has none.
        text: the end in words; '' if it succeeded.
        secrets: that it was given.
    """

    name: str
    log: Path
    allowed: bool = False
    status: Status = Status.QUEUED
    seconds: float = 0.0
    code: int | None = None
    text: str = ""
    secrets: Sequence[str] = field(default=(), repr=False)

    def hide(self, text: str) -> str:
        """Returns a text with the step's secrets blotted out."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


@dataclass(frozen=True)
class Result:
    """How a build went."""

    status: Status
    seconds: float
    steps: Sequence[StepResult] = field(default_factory=list)


@dataclass(frozen=True)
class _Ends:
    """What ends steps: a failure elsewhere, the user, and time."""

    failed: threading.Event
    stopped: Callable[[], bool]
    deadline: float

    def over(self) -> bool:
        return self.failed.is_set() or self.stopped()

    def left(self) -> float:
        """Returns the seconds that the build has left, and at least a moment."""
        return max(round(self.deadline - time.monotonic(), 1), 0.1)


def run(
    build: BuildConfig,
    executor: StepExecutor,
    logs: Path,
    tell: Callable[[StepResult], None] = lambda result: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Executes a build.

    Args:
        logs: folder for one log a step.
        tell: called when a step begins or ends, from any thread.
        stopped: becomes true when the user stops it.

    Raises:
        PipeyardError: a step can't be executed here.
    """
    begin = time.monotonic()
    limits = _Ends(threading.Event(), stopped, begin + build.timeout)
    results = [
        StepResult(
            step.name,
            logs / f"{step.index:02d}-{_file_name(step.name)}.log",
            step.allow_failure,
            secrets=[executor.secrets[name] for name in step.secrets],
        )
        for step in build.steps
    ]
    logs.mkdir(parents=True, exist_ok=True)
    running: dict[Future[None], BuildStep] = {}
    with ThreadPoolExecutor(max(1, len(build.steps))) as pool:
        try:
            while True:
                if not limits.over():
                    for step in _ready(build, results):
                        results[step.index].status = Status.WORKING
                        running[pool.submit(_one, step, results[step.index], executor, limits, tell)] = step
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    running.pop(future)
                    future.result()
        except BaseException:
            limits.failed.set()
            raise
    return Result(_status(results, stopped()), time.monotonic() - begin, results)


def _ready(build: BuildConfig, results: Sequence[StepResult]) -> list[BuildStep]:
    def passed(step: BuildStep) -> bool:
        status = results[step.index].status
        return status == Status.SUCCESS or (status in _FAILED and results[step.index].allowed)

    return [
        step
        for step in build.steps
        if results[step.index].status == Status.QUEUED and all(passed(build.steps[index]) for index in step.waits_for)
    ]


def _one(
    step: BuildStep, result: StepResult, executor: StepExecutor, limits: _Ends, tell: Callable[[StepResult], None]
) -> None:
    begin = time.monotonic()
    tell(result)
    left = limits.left()
    own_limit = 0 < step.timeout <= left
    try:
        ended = executor.run(step, result.log, step.timeout if own_limit else left, limits.over)
    except BaseException:
        result.status = Status.FAILURE
        limits.failed.set()
        raise
    result.seconds = time.monotonic() - begin
    result.code = ended.code
    result.status = _ended(step, ended)
    result.text = "" if result.status == Status.SUCCESS else ended.text
    if result.status == Status.TIMEOUT and not own_limit:
        result.allowed = False  # a step may fail; that the build's time is over is no failure of the step
    if result.status in _FAILED and not result.allowed:
        limits.failed.set()
    tell(result)


def _ended(step: BuildStep, ended: process.Ended) -> Status:
    if ended.stopped:
        return Status.CANCELLED if ended.canceled else Status.TIMEOUT
    return Status.SUCCESS if ended.code == 0 or ended.code in step.passing_codes else Status.FAILURE


def _status(results: Sequence[StepResult], stopped: bool) -> Status:
    failed = [each.status for each in results if each.status in _FAILED and not each.allowed]
    if failed:
        return failed[0]
    return Status.CANCELLED if stopped and any(each.status != Status.SUCCESS for each in results) else Status.SUCCESS


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
