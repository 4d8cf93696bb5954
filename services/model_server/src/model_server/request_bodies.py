"""Reading a request's body from a client that may send too much, too slowly, or go away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from model_server.refusals import CLIENT_GONE, TOO_LARGE, Refused

# Of ASGI: https://asgi.readthedocs.io/en/latest/specs/www.html
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class RequestBody:
    """The body of one request.

    Attributes:
        is_complete: all of it has been received.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_complete = False

    async def read(self, most: int) -> bytes | bytearray:
        """Returns all of it.

        Raises:
            Refused: it is larger than `most` bytes, or the client has gone.
        """
        first = await self._next()
        if self.is_complete and len(first) <= most:
            return first
        body = bytearray(first)
        while not self.is_complete and len(body) <= most:
            body += await self._next()
        if len(body) > most:
            raise Refused(TOO_LARGE, f"The body is larger than {most} bytes. Send fewer rows at once.")
        return body

    async def discard(self, seconds: float, most: int) -> bool:
        """Throws away what comes, for some time and up to some bytes. Returns True if that was all of it."""
        size = 0
        try:
            async with asyncio.timeout(seconds):
                while not self.is_complete and size <= most:
                    size += len(await self._next())
        except (TimeoutError, Refused):
            pass
        return self.is_complete

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Refused(CLIENT_GONE, "The client has gone.")
        self.is_complete = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk
