"""Answers other than 200."""

# HTTP status to gRPC code, as grpc-gateway has them.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}


class Refused(Exception):
    """The request isn't done."""

    def __init__(self, status: int, message: str, retry_after: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    def body(self, upload: bool) -> dict:
        """The answer as JSON; that of the upload's endpoint differs."""
        if upload:
            return {"error_message": str(self), "error_details": str(self)}
        return {"error": str(self), "code": _CODES.get(self.status, 2), "message": str(self), "details": []}


def invalid(message: str) -> Refused:
    return Refused(400, f"Invalid input error: {message}")


def missing(what: str, key: str) -> Refused:
    return Refused(404, f"ResourceNotFoundError: {what} {key} not found.")


def exists(what: str, key: str) -> Refused:
    return Refused(409, f"Already exist error: Failed to create a new {what}. The name {key} already exists.")
