"""Answers other than 200."""

import json

# HTTP status to gRPC code, as grpc-gateway has them.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}
_ABORTED = 10
_FAILED_PRECONDITION = 9
JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"


class Refused(Exception):
    """The request isn't done.

    Args:
        status: of HTTP.
        code: of gRPC; 0: the one that goes with the status.
        told: by the service, which tells details, and not by the gateway before it, which tells none.
    """

    def __init__(self, status: int, message: str, retry_after: str = "", code: int = 0, told: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.code = code or _CODES.get(status, 2)
        self._told = told

    def answer(self) -> tuple[str, bytes]:
        """Returns content type and body."""
        detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": self.code, "message": str(self)}
        details = {"details": [detail]} if self._told else {}
        return JSON, json.dumps({"code": self.code, "message": str(self), **details}).encode()


class UploadRefused(Refused):
    """An upload isn't done. Its endpoints aren't behind the gateway, and answer otherwise.

    Args:
        kind: of the answer's content. JSON goes as text where the handler sets no content type.
    """

    def __init__(self, status: int, message: str, kind: str = JSON) -> None:
        super().__init__(status, message)
        self._kind = kind

    def answer(self) -> tuple[str, bytes]:
        return self._kind, json.dumps({"error_message": str(self), "error_details": str(self)}).encode()


class TooLong(Refused):
    """An upload's name is too long. The one refusal that is no JSON."""

    def answer(self) -> tuple[str, bytes]:
        return PLAIN, f"{self}\n".encode()


class Unanswered(Exception):
    """The server never answers.

    Its YAML decoder is called again and again after a document that is none. Here the connection is closed at once,
    so that nobody has to wait.
    """


def invalid(message: str) -> Refused:
    return Refused(400, f"Invalid input error: {message}")


def malformed(message: str) -> Refused:
    """The gateway can't read the request."""
    return Refused(400, f"proto: {message}", told=False)


def internal(message: str) -> Refused:
    """The server's fault, or what it takes for one: much that a client does wrong is answered so."""
    return Refused(500, f"InternalServerError: {message}")


def missing(what: str, key: str) -> Refused:
    return Refused(404, f"ResourceNotFoundError: {what} {key} not found.")


def exists(what: str, key: str) -> Refused:
    return Refused(409, f"Already exist error: Failed to create a new {what}. The name {key} already exists.")


def aborted(message: str) -> Refused:
    return Refused(409, f"Aborted: {message}", code=_ABORTED)


def precondition(message: str) -> Refused:
    return Refused(400, f"Failed precondition: {message}", code=_FAILED_PRECONDITION)
