"""Vertex AI's API, every call with a limit of time.

Protocol: https://cloud.google.com/vertex-ai/docs/reference/rest, through the generated clients of
    google-cloud-aiplatform.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pipeyard.errors import PipeyardError
from pipeyard.system import google_login, retries

if TYPE_CHECKING:
    from pipeyard.settings import Environment

# Seconds that one request may take, and all repetitions of it.
CALL = 30.0
PATIENCE = retries.GOOGLE.seconds
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

_CallResult = TypeVar("_CallResult")


class VertexUnavailable(PipeyardError):
    """Vertex AI can't be reached, or has a problem of its own: the same may succeed later."""


class Conflict(Exception):
    """What was to be created exists already."""


@dataclass(frozen=True)
class Vertex:
    """A project's Vertex AI in one region. Making it needs no network.

    Attributes:
        endpoint: URL of the API.
        credentials: of google.auth.
        patience: seconds that a call may take with its repetitions.
    """

    project: str
    region: str
    endpoint: str
    credentials: Any = field(repr=False)
    patience: float = PATIENCE

    @property
    def parent(self) -> str:
        """The parent resource of jobs and schedules."""
        return f"projects/{self.project}/locations/{self.region}"

    @cached_property
    def jobs(self) -> Any:
        """PipelineServiceClient."""
        from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient

        return self._client(PipelineServiceClient)

    @cached_property
    def schedules(self) -> Any:
        """ScheduleServiceClient."""
        from google.cloud.aiplatform_v1.services.schedule_service import ScheduleServiceClient

        return self._client(ScheduleServiceClient)

    def _client(self, kind: Callable[..., _CallResult]) -> _CallResult:
        return kind(credentials=self.credentials, transport="rest", client_options={"api_endpoint": self.endpoint})

    def ask(
        self,
        what: str,
        call: Callable[..., _CallResult],
        *,
        again: bool = True,
        patience: float | None = None,
        **arguments: Any,
    ) -> _CallResult:
        """Calls the API.

        Args:
            what: what is done, for messages.
            again: it may be repeated: a call that is done twice does no more than one.
            patience: seconds; None: the connection's.

        Raises:
            Conflict: what was to be created exists.
            VertexUnavailable: it can't be reached, or fails for too long.
            PipeyardError: it refuses.
        """
        limit = self.patience if patience is None else patience
        repeated = retries.for_google(retries.GOOGLE.within(limit))
        with telling(f"Vertex AI ({self.endpoint}): {what}", limit):
            return call(timeout=min(CALL, limit), retry=repeated if again else None, **arguments)


def connect(environment: "Environment", credentials: Any = None, patience: float = PATIENCE) -> Vertex:
    """Returns the Vertex AI of an environment; nothing is asked of it yet.

    Args:
        environment: its `host`, if it has one, is used instead of Google's; over plain http without credentials.
        credentials: of google.auth; default: those that the machine has.

    Raises:
        PipeyardError: google-cloud-aiplatform isn't installed, or there are no credentials.
    """
    import importlib.util

    if importlib.util.find_spec("google.cloud.aiplatform_v1") is None:
        raise PipeyardError(
            "Vertex AI needs google-cloud-aiplatform. Install it: `make setup` does in a checkout; elsewhere it is the "
            "extra `vertex` of pipeyard."
        )
    endpoint = environment.host or f"https://{environment.region}-aiplatform.googleapis.com"
    return Vertex(environment.project, environment.region, endpoint, credentials or own_credentials(endpoint), patience)


def own_credentials(endpoint: str) -> Any:
    """Returns the credentials that this machine has; none over plain http.

    Raises:
        PipeyardError: there are none.
    """
    import google.auth
    from google.auth import credentials
    from google.auth.exceptions import GoogleAuthError

    if endpoint.startswith("http://"):  # a token that is sent over it could be read by others
        return credentials.AnonymousCredentials()
    try:
        return google.auth.default(scopes=[_SCOPE])[0]
    except GoogleAuthError as error:
        raise PipeyardError(f"{endpoint}: {google_login.problem(error)}") from error


@contextlib.contextmanager
def telling(what: str, patience: float) -> Iterator[None]:
    """Translates Google's errors into this package's.

    Args:
        what: what is done and where, for messages.
        patience: seconds that it was tried for.
    """
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        yield
    except exceptions.AlreadyExists as error:
        raise Conflict from error
    except exceptions.Conflict as error:
        raise Conflict from error
    except (exceptions.Unauthorized, exceptions.Forbidden) as error:
        raise PipeyardError(
            f"{what} isn't permitted: {error.message}. The account needs the role Vertex AI User. If it has it, log in "
            "again (`gcloud auth application-default login`), and look at this machine's clock."
        ) from error
    except (exceptions.RetryError, requests.RequestException, TransportError, exceptions.ServerError) as error:
        cause = getattr(error, "cause", None) or error
        raise VertexUnavailable(
            f"{what} failed for {patience:g} s: {type(cause).__name__}: {cause}. Run the same command again: it goes "
            "on with what is there."
        ) from error
    except GoogleAuthError as error:
        raise PipeyardError(f"{what}: {google_login.problem(error)}") from error
    except exceptions.TooManyRequests as error:
        raise VertexUnavailable(f"{what}: over a quota: {error.message}. Run the same command again later.") from error
    except exceptions.GoogleAPICallError as error:
        raise PipeyardError(f"{what} was refused: {error.code} {error.message}. Correct what it names.") from error
