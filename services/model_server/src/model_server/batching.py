"""Micro-batches: rows of several requests that are asked of the model in one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

# Tensors of a request's columns, [rows, ...], in the reader's order.
Tensors = Sequence[np.ndarray]


class Batcher:
    """Gathers requests until there are enough rows, or the first has waited long enough.

    Args:
        ask: the model.
        fills: what stands for a missing value of each column: requests can be of unlike widths.
        most_rows: of a batch; a request with more goes alone.
        delay: seconds that the first one waits.
    """

    def __init__(
        self, ask: Callable[[Tensors], Awaitable[np.ndarray]], fills: Sequence[object], most_rows: int, delay: float
    ) -> None:
        self._ask = ask
        self._fills = fills
        self._most_rows = most_rows
        self._delay = delay
        self._waiting: list[tuple[Tensors, asyncio.Future[np.ndarray]]] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, tensors: Tensors) -> np.ndarray:
        """Returns the model's numbers for a request's rows."""
        loop = asyncio.get_running_loop()
        rows = len(tensors[0])
        if self._rows + rows > self._most_rows:
            self._send()
        future: asyncio.Future[np.ndarray] = loop.create_future()
        self._waiting.append((tensors, future))
        self._rows += rows
        if self._rows >= self._most_rows:
            self._send()
        elif self._timer is None:
            self._timer = loop.call_later(self._delay, self._send)
        return await future

    def _send(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        batch = [(tensors, future) for tensors, future in self._waiting if not future.done()]
        self._waiting, self._rows = [], 0
        if batch:
            task = asyncio.get_running_loop().create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer(self, batch: list[tuple[Tensors, "asyncio.Future[np.ndarray]"]]) -> None:
        try:
            numbers = await self._ask(joined([tensors for tensors, _ in batch], self._fills))
        except Exception as error:  # pylint: disable=broad-exception-caught  # whoever waits is told
            if len(batch) == 1:
                _, future = batch[0]
                if not future.done():
                    future.set_exception(error)
            else:  # one of them is at fault: the others are to be answered
                for each in batch:
                    await self._answer([each])
            return
        start = 0
        for tensors, future in batch:
            end = start + len(tensors[0])
            if not future.done():
                future.set_result(numbers[start:end])
            start = end


def joined(requests: Sequence[Tensors], fills: Sequence[object]) -> list[np.ndarray]:
    """Returns the rows of all requests, those of columns with several values as wide as the widest."""
    if len(requests) == 1:
        return list(requests[0])
    return [_joined(column, fill) for column, fill in zip(zip(*requests, strict=True), fills, strict=True)]


def _joined(parts: Sequence[np.ndarray], fill: object) -> np.ndarray:
    width = max(part.shape[1] for part in parts)
    return np.concatenate([part if part.shape[1] == width else _widened(part, width, fill) for part in parts])


def _widened(part: np.ndarray, width: int, fill: object) -> np.ndarray:
    found = np.full((len(part), width), fill, part.dtype)
    found[:, : part.shape[1]] = part
    return found
