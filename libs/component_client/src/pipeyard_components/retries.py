"""Which failures of a request are transient, and how often and how long it is repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urllib3.util import Retry

# Answers after which the same request may succeed: those that google-cloud-storage repeats, too.
TRANSIENT = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


@dataclass(frozen=True)
class RetryPolicy:
    """How a call that failed for a transient reason is repeated.

    Attributes:
        pause: seconds before the second attempt; doubles each time.
        longest_pause: seconds, of all pauses.
        attempts: how many there are at most, the first among them; None: as many as there is time for.
        seconds: after which nothing is attempted anew.
    """

    pause: float
    longest_pause: float
    attempts: int | None = None
    seconds: float = math.inf

    def within(self, seconds: float) -> RetryPolicy:
        """Returns the policy for calls that may take so many seconds, with several attempts in them."""
        return replace(self, seconds=seconds, pause=min(self.pause, seconds / 8))


# Stores of components, over HTTP and in S3.
COMPONENTS = RetryPolicy(attempts=4, pause=0.2, longest_pause=10)


def for_urllib3(policy: RetryPolicy, longest_told: float = math.inf, **more: Any) -> Retry:
    """Returns what requests' and urllib3's adapters take: transient statuses, and connections that break.

    Args:
        longest_told: seconds that a server may have us wait (`Retry-After`) at most.
        more: of urllib3's Retry. The last answer is returned, whatever its status.
    """
    from urllib3.util import Retry

    class Bounded(Retry):
        """Bounds pauses itself: urllib3 takes them as arguments since 2.0 and 2.6, and older kfp have it below 2."""

        def get_backoff_time(self) -> float:
            return min(super().get_backoff_time(), policy.longest_pause)

        def get_retry_after(self, response: Any) -> float | None:
            told = super().get_retry_after(response)
            return None if told is None else min(told, longest_told)

    return Bounded(
        total=None if policy.attempts is None else policy.attempts - 1,
        backoff_factor=policy.pause,
        status_forcelist=TRANSIENT,
        raise_on_status=False,
        **more,
    )


def for_botocore(policy: RetryPolicy) -> dict[str, int]:
    """Returns the option `retries` of botocore's Config, which doesn't count the first attempt."""
    return {} if policy.attempts is None else {"max_attempts": policy.attempts - 1}
