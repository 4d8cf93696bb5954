"""Calls of Vertex AI and Cloud Monitoring, each with a limit of time.

By REST, with google-auth's session, which deploy has for Cloud Storage, and google-api-core's errors: Google's SDK is
190 MB and 1,200 modules, for nine calls, in the image of everybody who serves elsewhere. The tests have it: what is
sent here is what it sends, and its clients work against the same loopback server.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from deploy.vertex.place import Place
from deploy.vertex.resources import Json
from stepkit.errors import StepError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Codes of google.rpc.Status, https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, of errors that
# aren't what was deployed: cancelled, over a quota, aborted, unavailable.
_NOT_ITS_FAULT = (1, 8, 10, 14)

_Found = TypeVar("_Found")


class OperationFailed(Exception):
    """What was begun ended with an error: the text says which.

    Attributes:
        code: of google.rpc.Status.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code

    @property
    def is_its_fault(self) -> bool:
        """Whether what was deployed is to blame, and not a quota or an outage."""
        return self.code not in _NOT_ITS_FAULT


@dataclass(frozen=True)
class Patience:
    """How long Vertex AI is waited for; seconds.

    Attributes:
        call: that a request may take.
        trouble: that something may fail, or be in somebody else's hands, until it is given up.
        pause: the first between two tries; it doubles.
        operation: that an operation may take: a deployment starts machines.
        look: between two looks at an operation.
    """

    call: float = 60.0
    trouble: float = 300.0
    pause: float = 1.0
    operation: float = 3600.0
    look: float = 10.0


@dataclass(frozen=True)
class Client:
    """A project's Vertex AI in one region. Making it needs no network.

    Attributes:
        session: of google-auth; None: one with the credentials that this machine or the pod has.
    """

    place: Place
    now: Callable[[], float]
    sleep: Callable[[float], None]
    patience: Patience = field(default_factory=Patience)
    session: Any = None

    @cached_property
    def _session(self) -> Any:
        return self.session or _session(self.place.api)

    def call(
        self, method: str, path: str, body: Json | None = None, query: Mapping[str, Any] | None = None, base: str = ""
    ) -> Json:
        """Asks once.

        Args:
            path: below the version of the API, e.g. the name of a resource.
            base: URL with the version of an API; empty: Vertex AI's.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: it refuses or fails.
            requests.RequestException, google.auth.exceptions.TransportError: it doesn't answer.
        """
        from google.api_core import exceptions

        response = self._session.request(
            method,
            f"{base or self.place.api + '/v1'}/{path}",
            json=body,
            params=query,
            timeout=self.patience.call,
        )
        if not response.ok:
            raise exceptions.from_http_response(response)
        found: Json = response.json()
        return found

    def find(self, path: str) -> Json | None:
        """Returns a resource; None if there is none. Raises as `call`."""
        from google.api_core import exceptions

        try:
            return self.call("GET", path)
        except exceptions.NotFound:
            return None

    def operate(self, method: str, path: str, body: Json, query: Mapping[str, Any] | None = None) -> None:
        """Begins an operation and waits for its end. Raises as `call` and `wait`."""
        self.wait(self.call(method, path, body, query))

    def wait(self, operation: Json) -> None:
        """Waits for an operation's end.

        Raises:
            OperationFailed: it ended with an error.
            StepError: it takes too long.
        """
        until = self.now() + self.patience.operation
        while not operation.get("done"):
            if self.now() >= until:
                raise StepError(
                    f"Vertex AI: the operation {operation['name']} isn't done after {self.patience.operation:g} s. "
                    "Deploy again: it is waited for then."
                )
            self.sleep(self.patience.look)
            operation = self.call("GET", operation["name"])
        if error := operation.get("error"):
            raise OperationFailed(str(error.get("message", "")), int(error.get("code", 2)))

    def wait_for_others(self, resource: str) -> None:
        """Waits for what is under way at a resource, e.g. of a deployment that was killed. Raises as `call`."""
        from google.api_core import exceptions

        try:
            found = self.call("GET", f"{resource}/operations", query={"filter": "done=false"})
        except exceptions.NotFound:  # the resource isn't there
            return
        for operation in found.get("operations", ()):
            with contextlib.suppress(OperationFailed):  # who began it is told
                self.wait(operation)

    def again(self, what: str, work: Callable[[], _Found]) -> _Found:
        """Does work that may be repeated until it succeeds, or has failed for too long.

        Args:
            what: is done, for messages.

        Raises:
            StepError: it is refused, or fails for too long.
            Exception: another that `work` raises.
        """
        from google.api_core import exceptions
        from google.api_core.retry import Retry

        retry = Retry(
            predicate=_may_succeed,
            initial=self.patience.pause,
            maximum=30.0,
            timeout=self.patience.trouble,
        )
        with _telling(f"Vertex AI ({self.place.api}): {what}", self.patience.trouble):
            try:
                return retry(work)()
            except exceptions.RetryError as error:
                raise error.cause or error from error


def _may_succeed(error: Exception) -> bool:
    """Whether the same may succeed later, or once it is looked anew at what is there."""
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import TransportError

    later = (exceptions.ServerError, exceptions.TooManyRequests, exceptions.Conflict)
    if isinstance(error, (*later, requests.RequestException, TransportError)):
        return True
    # E.g. another operation of the endpoint is under way. HTTP has the same status for what never succeeds.
    return isinstance(error, exceptions.BadRequest) and _reason(error) == "FAILED_PRECONDITION"


def _reason(error: Any) -> str:
    """Returns the name of google.rpc.Code that an answer has; empty if it has none."""
    try:
        return str(error.response.json()["error"]["status"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""


def _session(url: str) -> Any:
    import google.auth
    from google.auth import credentials
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    if url.startswith("http://"):  # a token that is sent over it could be read by others
        return AuthorizedSession(credentials.AnonymousCredentials())
    try:
        return AuthorizedSession(google.auth.default(scopes=[_SCOPE])[0])
    except GoogleAuthError as error:
        raise StepError(
            f"There are no credentials for Vertex AI ({error}). On Google Cloud give the step a service account; "
            "elsewhere run `gcloud auth application-default login`, or let GOOGLE_APPLICATION_CREDENTIALS name a file."
        ) from error


@contextlib.contextmanager
def _telling(what: str, patience: float) -> Iterator[None]:
    """Translates Google's errors."""
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        yield
    except OperationFailed as error:
        raise StepError(f"{what} failed: {error}. What serves goes on as it was. Deploy again.") from error
    except (exceptions.Unauthorized, exceptions.Forbidden) as error:
        raise StepError(
            f"{what} isn't permitted: {error.message}. The account that the step runs as needs the roles Vertex AI "
            "User and Monitoring Viewer, and Storage Object Viewer on the models' bucket."
        ) from error
    except exceptions.TooManyRequests as error:
        raise StepError(
            f"{what}: over a quota: {error.message}. Ask for more of it, or give serving_options another machine_type "
            "or fewer replicas, and deploy again: it goes on with what is there."
        ) from error
    except (requests.RequestException, TransportError, exceptions.ServerError) as error:
        raise StepError(
            f"{what} failed for {patience:g} s: {type(error).__name__}: {error}. What serves goes on as it was. Deploy "
            "again: it goes on with what is there."
        ) from error
    except GoogleAuthError as error:
        raise StepError(f"{what}: the credentials fail: {error}. Log in again, or mend the service account.") from error
    except exceptions.GoogleAPICallError as error:
        raise StepError(f"{what} was refused: {error.code} {error.message}. Correct what it names.") from error
