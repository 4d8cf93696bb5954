"""What goes wrong at a server, or on the way to it."""

import re
from dataclasses import dataclass
from typing import Literal


@dataclass
class Fault:
    """Holds for the next `times` requests that it fits.

    Attributes:
        where: regular expression that is searched in e.g. `POST /apis/v2beta1/runs`.
        status: it is answered with this, and isn't done unless `made` says so.
        retry_after: the header, with the status.
        delay: seconds until it is answered.
        cut: the connection is closed while the request is read, before it is done, after it was done but not answered,
            or in the middle of the answer. `silence`: it is done, and neither answered nor is the connection closed.
        made: with `status`, or a `cut` after it was done: what becomes of it. `recorded`: it is done, only the answer
            is wrong. `unrecorded`: the object in Kubernetes is made, and nothing recorded, so that the API doesn't know
            of it. For requests that make a run or a recurring run. What has no record isn't executed here; a real
            cluster would begin it.
        trickle: seconds between two bytes of the answer.
        page: it is answered with this page of HTML, status 200.
    """

    where: str = ""
    times: int = 1
    status: int = 0
    retry_after: str = ""
    delay: float = 0.0
    cut: Literal["", "reading", "before", "after", "silence", "answering"] = ""
    made: Literal["", "recorded", "unrecorded"] = ""
    trickle: float = 0.0
    page: str = ""

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and re.search(self.where, f"{method} {path}") is not None


def made_then_500(where: str, times: int = 1) -> Fault:
    """A run or recurring run is made in Kubernetes, not recorded, and the answer is 500."""
    return Fault(where, times, status=500, made="unrecorded")


def made_then_silence(where: str, recorded: bool, times: int = 1) -> Fault:
    """A run or recurring run is made in Kubernetes, recorded or not, and nothing is answered."""
    return Fault(where, times, cut="silence", made="recorded" if recorded else "unrecorded")
