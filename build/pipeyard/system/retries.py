"""Which failures of a call are transient, and how often and how long it is repeated: for every client.

Each client is given this in its library's own terms. Whether a call may be repeated at all, since doing it twice does
no more than doing it once, its client knows.
"""

import logging
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeyard_components.retries import COMPONENTS, TRANSIENT, RetryPolicy, for_botocore, for_urllib3

if TYPE_CHECKING:
    import tenacity
    from google.api_core.retry import Retry as GoogleRetry

# Those of the client of components are here under one name with the toolchain's own.
__all__ = [
    "ADVISORIES",
    "COMPONENTS",
    "CONDITIONAL",
    "GOOGLE",
    "KUBEFLOW",
    "PUSH",
    "REGISTRY",
    "SCHEDULER",
    "TRANSIENT",
    "RetryPolicy",
    "answering",
    "contending",
    "for_botocore",
    "for_cloud_storage",
    "for_google",
    "for_urllib3",
    "is_transient",
    "retrying",
    "says_transient",
]

# `TRANSIENT` in the words of programs (docker, podman, buildah) that print what a registry or the network did.
_PRINTED = re.compile(
    r"(received unexpected HTTP status: 5\d\d|status code 5\d\d|50[0234] |connection (reset|refused)|EOF|i/o timeout|"
    r"TLS handshake timeout|broken pipe|too many requests|server closed)",
    re.IGNORECASE,
)


_log = logging.getLogger(__name__)


# A container registry's API: tags and manifests.
REGISTRY = RetryPolicy(attempts=4, pause=0.5, longest_pause=8)
# Builders' pushes: they try cut connections again themselves, Docker for 50 seconds.
PUSH = RetryPolicy(attempts=4, pause=1, longest_pause=15, seconds=45)
# OSV's API of advisories: fail soon where it can't be reached.
ADVISORIES = RetryPolicy(attempts=3, pause=0.2, longest_pause=5)
KUBEFLOW = RetryPolicy(attempts=5, pause=0.5, longest_pause=10)
# Cloud Storage, Vertex AI, Artifact Registry.
GOOGLE = RetryPolicy(pause=1, longest_pause=20, seconds=120)
SCHEDULER = RetryPolicy(attempts=4, pause=0.2, longest_pause=10)
# Compare-and-swap of an object that others change, too: Cloud Storage takes one change of an object a second.
CONDITIONAL = RetryPolicy(attempts=12, pause=0.05, longest_pause=4)


def is_transient(error: BaseException) -> bool:
    """Whether an exception of requests or Google's libraries is a broken connection or an answer of `TRANSIENT`."""
    import requests
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import TransportError

    if isinstance(error, GoogleAPICallError):
        return error.code in TRANSIENT
    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, TransportError)
    return isinstance(error, broken)


def says_transient(printed: str) -> bool:
    """Whether a program that failed printed that a registry or the network did."""
    return bool(_PRINTED.search(printed))


def for_google(policy: RetryPolicy) -> "GoogleRetry":
    """Returns the argument `retry` of Google's generated clients."""
    from google.api_core.retry import Retry

    return Retry(
        predicate=is_transient, initial=policy.pause, maximum=policy.longest_pause, timeout=_finite(policy.seconds)
    )


def for_cloud_storage(policy: RetryPolicy) -> "GoogleRetry":
    """Returns the argument `retry` of google-cloud-storage, whose own predicate knows its errors best."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(_finite(policy.seconds)).with_delay(
        initial=policy.pause, maximum=policy.longest_pause
    )


def retrying(policy: RetryPolicy, retry: "tenacity.retry_base", at_least: int = 1, **more: Any) -> "tenacity.Retrying":
    """Returns what repeats a call of a client that repeats none itself; the last exception is raised as it is.

    Args:
        retry: tenacity's condition under which it is repeated.
        at_least: attempts that there are even if the policy's time is over: of calls that may take longer.
        more: of tenacity's Retrying.
    """
    import tenacity

    stops: list[tenacity.stop.stop_base] = [tenacity.stop_after_attempt(policy.attempts)] if policy.attempts else []
    if math.isfinite(policy.seconds):
        stops.append(
            tenacity.stop_all(tenacity.stop_after_delay(policy.seconds), tenacity.stop_after_attempt(at_least))
        )
    wait = tenacity.wait_exponential_jitter(initial=policy.pause, max=policy.longest_pause, jitter=policy.pause)
    given = {"stop": tenacity.stop_any(*stops), "wait": wait, "reraise": True, "retry": retry, **more}
    return tenacity.Retrying(**{"before_sleep": tenacity.before_sleep_log(_log, logging.DEBUG), **given})


def contending(policy: RetryPolicy, lost: type[Exception], sleep: Callable[[float], None]) -> "tenacity.Retrying":
    """Returns what repeats a write for which another writer was quicker; the last exception is raised as it is.

    Args:
        lost: exception that says so. Pauses are random up to the policy's, so that writers who met once part.
    """
    import tenacity

    wait = tenacity.wait_random_exponential(multiplier=policy.pause, max=policy.longest_pause)
    return retrying(policy, tenacity.retry_if_exception_type(lost), wait=wait, sleep=sleep)


def answering(policy: RetryPolicy) -> "tenacity.Retrying":
    """Returns what repeats a call that gives requests' Response; the last answer is returned, whatever its status.

    Raises:
        requests.RequestException, google.auth.exceptions.TransportError: the last attempt had no answer.
    """
    import tenacity

    return retrying(
        policy,
        tenacity.retry_if_exception(is_transient)
        | tenacity.retry_if_result(lambda answer: answer.status_code in TRANSIENT),
        retry_error_callback=lambda state: state.outcome.result(),
    )


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
