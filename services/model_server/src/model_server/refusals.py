"""How a request ends that isn't answered."""

from collections.abc import Mapping

BAD_REQUEST = 400
UNAUTHORIZED = 401
NOT_FOUND = 404
WRONG_METHOD = 405
SLOW_BODY = 408
TOO_LARGE = 413
WRONG_TYPE = 415
NO_ANSWER = 422
BUSY = 429
CLIENT_GONE = 499  # nginx's: never sent, but counted
FAULT = 500
DRAINING = 503
TOO_SLOW = 504


class Refused(Exception):
    """A request isn't answered, and why: the message names the fault and what to do.

    Attributes:
        status: of HTTP.
        headers: that the answer has beside the usual ones.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
