"""A server of Kubeflow Pipelines: every call has a time limit, and is tried again where that is safe."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import cluster, credentials, deadlines
from pipeyard.servers.kubeflow.cluster import Cluster, Unreachable
from pipeyard.servers.kubeflow.credentials import Credentials
from pipeyard.system import retries, verbosity

if TYPE_CHECKING:
    from pipeyard.servers.kubeflow.client import Failure
    from pipeyard.settings import Environment


@dataclass(frozen=True)
class CallLimits:
    """How long to wait, in seconds.

    Attributes:
        connect: for a connection.
        silence: between two pieces of an answer.
        call: for a whole answer.
        upload: for a package's upload.
        attempts: how often a call is made at most.
        pause: before the second attempt; doubles each time. What is waited is random, up to this.
        longest_pause: of all pauses, and of what a server may ask for.
    """

    connect: float = 5
    silence: float = 30
    call: float = 60
    upload: float = 300
    attempts: int | None = retries.KUBEFLOW.attempts
    pause: float = retries.KUBEFLOW.pause
    longest_pause: float = retries.KUBEFLOW.longest_pause


class Doubt(IntEnum):
    """Whether a server did what a call that failed asked for."""

    NONE = 0
    """It didn't."""
    DONE = 1
    """It may have."""
    UNDER_WAY = 2
    """It may have, or be doing it still."""


class ServerError(PipeyardError):
    """The server can't be reached, or refuses.

    Attributes:
        status: of its answer; 0: there was none.
        passing: the same call may succeed later.
        doubt: whether it was done nevertheless.
        retry_after: seconds that it asks to wait; 0: it doesn't.
        cause: the message without what to do.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        passing: bool = False,
        doubt: Doubt = Doubt.NONE,
        retry_after: float = 0.0,
        cause: str = "",
    ) -> None:
        super().__init__(message)
        self.cause = cause or message
        self.status = status
        self.passing = passing
        self.doubt = doubt
        self.retry_after = retry_after


class NoSecret(ServerError):
    """There is nothing to tell the server who we are with: it wasn't asked."""


def _no_cluster() -> Cluster:
    raise Unreachable("There is no way to Kubernetes.")


@dataclass(frozen=True)
class Server:
    """A connection. Making it needs no network.

    Attributes:
        pipelines, uploads, experiments, runs, recurring_runs: generated clients, whose methods go to `ask`.
        namespace: where the server has several users; else empty.
        environment: its name in settings.yaml, for messages.
        cluster: gives the Kubernetes below, or raises cluster.Unreachable.
        tell: takes lines for whoever waits.
        clock: monotonic seconds.
        sleep: waits for seconds.
    """

    host: str
    namespace: str
    credentials: Credentials
    limits: CallLimits
    pipelines: Any = field(repr=False)
    uploads: Any = field(repr=False)
    experiments: Any = field(repr=False)
    runs: Any = field(repr=False)
    recurring_runs: Any = field(repr=False)
    environment: str = ""
    cluster: Callable[[], Cluster] = field(default=_no_cluster, repr=False)
    tell: Callable[[str], object] = field(default=verbosity.note, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    @property
    def where(self) -> dict[str, Any]:
        """The namespace as an argument of calls that take one."""
        return {"namespace": self.namespace} if self.namespace else {}

    def ask(
        self,
        what: str,
        call: Callable[..., Any],
        *arguments: Any,
        none_for: HTTPStatus | None = None,
        repeat: bool = True,
        seconds: float | None = None,
        attempts: int | None = None,
        **options: Any,
    ) -> Any:
        """Calls the server, several times if need be.

        Args:
            what: what is done, for messages, as in "listing versions".
            call: method of a generated client.
            none_for: status for which None is returned.
            repeat: False for a call that, done twice, would make two things: it is repeated only where the server
                can't have done it. See `creation`.
            seconds: limit of one attempt.
            attempts: instead of those of the limits.

        Raises:
            NoSecret: the credentials can't be had.
            ServerError: it failed, for good or for too long; says why and what to do.
        """
        import tenacity

        def again(error: BaseException) -> bool:
            return isinstance(error, ServerError) and error.passing and (repeat or not error.doubt)

        policy = retries.RetryPolicy(self.limits.pause, self.limits.longest_pause, attempts or self.limits.attempts)
        retrying = retries.retrying(policy, tenacity.retry_if_exception(again), wait=self._pause, sleep=self.sleep)
        limit = seconds or self.limits.call
        return retrying(lambda: self._once(what, call, arguments, options, none_for, limit))

    def _pause(self, state: Any) -> float:
        import tenacity

        longest = self.limits.longest_pause
        drawn = tenacity.wait_random_exponential(multiplier=self.limits.pause, max=longest)(state)
        return min(max(drawn, state.outcome.exception().retry_after), longest)

    def _once(
        self,
        what: str,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: Mapping[str, Any],
        none_for: HTTPStatus | None,
        seconds: float,
    ) -> Any:
        """Calls once; twice where the credentials have expired."""
        from pipeyard.servers.kubeflow import client

        limits = (min(self.limits.connect, seconds), min(self.limits.silence, seconds))
        limited = {**options, "_request_timeout": limits}
        for renew in (False, True):
            self.runs.api_client.default_headers.update(self._headers(what, renew, seconds))
            try:
                return deadlines.within(seconds, lambda: call(*arguments, **limited))
            except Exception as error:
                failure = client.failure(error)
                if failure is None:
                    raise
                if none_for and failure.status == none_for:
                    return None
                if failure.status == HTTPStatus.UNAUTHORIZED and self.credentials.renewable and not renew:
                    continue
                raise self._error(what, failure) from None  # the cause may repeat the secret that was sent
        raise AssertionError("the second time is the last")

    def _headers(self, what: str, renew: bool, seconds: float) -> Mapping[str, str]:
        """Returns who we are; a token may be got from Google for it, which has a time limit, too."""
        try:
            return deadlines.within(seconds, lambda: self.credentials.headers(renew))
        except credentials.SecretUnavailable as error:
            told, passing = str(error), error.passing
        except deadlines.Expired:
            told, passing = f"{self.credentials.origin} wasn't given in {seconds:g} s. {self.credentials.remedy}", True
        raise NoSecret(f"Kubeflow Pipelines at {self.host}: {what} wasn't tried: {told}", passing=passing)

    def _error(self, what: str, failure: "Failure") -> ServerError:
        status = failure.status
        passing = status in retries.TRANSIENT or (not status and not failure.certificate)
        text = self.credentials.hide(failure.text)
        answered = f"{status} {text}" if status else text
        cause = f"Kubeflow Pipelines at {self.host}: {what} failed: {answered}."
        remedy = self._remedy(failure)
        if not status and not failure.certificate:
            cause = f"Kubeflow Pipelines can't be reached at {self.host} ({what}): {text}."
            remedy = "Check the host in settings.yaml, the network, and that the server is up; then run this again."
        doubt = Doubt.UNDER_WAY if failure.late else Doubt.DONE
        if not passing or not failure.arrived or status == HTTPStatus.TOO_MANY_REQUESTS:
            doubt = Doubt.NONE
        return ServerError(f"{cause} {remedy}", status, passing, doubt, failure.retry_after, cause)

    def _remedy(self, failure: "Failure") -> str:
        status = failure.status
        if failure.certificate:
            return (
                "If your own authority signed the server's certificate, name its file in SSL_CERT_FILE; "
                "if the server has no encryption, write http:// in settings.yaml."
            )
        if status == HTTPStatus.UNAUTHORIZED:
            origin = self.credentials.origin
            refused = f"The server doesn't take {origin}: it is wrong, has expired, or this machine's clock is off. "
            return (refused if origin else "The server wants to know who we are. ") + self.credentials.remedy
        if status == HTTPStatus.FORBIDDEN:
            return f"The account may not do that in the namespace {self.namespace or '(none is set)'}."
        if status == HTTPStatus.OK or HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return f"That is no answer of the API but, most likely, a login page. {self.credentials.remedy}"
        if status == HTTPStatus.NOT_FOUND:
            return "Check the host in settings.yaml, and that the server speaks API v2beta1."
        if status in retries.TRANSIENT:
            return "The server has a problem of its own; run this again later."
        return "Look at the server's message."


def connect(
    environment: "Environment",
    *,
    limits: CallLimits | None = None,
    tell: Callable[[str], object] = verbosity.note,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    **options: Any,
) -> Server:
    """Returns the connection to an environment's server. Nothing is sent.

    Args:
        environment: of settings.yaml, with target kfp.
        options: of `credentials.of`.

    Raises:
        PipeyardError: a secret would cross a network readable by all.
    """
    import kfp_server_api as api

    from pipeyard.servers.kubeflow import client

    host = environment.host.rstrip("/")
    who = credentials.of(environment.auth, host, **options)
    made = client.make(host)
    return Server(
        host=host,
        namespace=environment.namespace,
        credentials=who,
        limits=limits or CallLimits(),
        pipelines=api.PipelineServiceApi(made),
        uploads=api.PipelineUploadServiceApi(made),
        experiments=api.ExperimentServiceApi(made),
        runs=api.RunServiceApi(made),
        recurring_runs=api.RecurringRunServiceApi(made),
        environment=environment.name,
        cluster=lambda: cluster.connect(environment),
        tell=tell,
        clock=clock,
        sleep=sleep,
    )
