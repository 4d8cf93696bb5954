"""What goes wrong at a server, or on the way to it."""

import re
from dataclasses import dataclass
from typing import Literal


@dataclass
class Fault:
    """Holds for the next `times` requests that it fits.

    Attributes:
        where: regular expression that is searched in e.g. `POST /apis/v2beta1/runs`.
        status: it is refused with this.
        retry_after: the header, with the status.
        delay: seconds until it is answered.
        cut: the connection is closed while the request is read, before it is done, after it was done but not answered,
            or in the middle of the answer.
        trickle: seconds between two bytes of the answer.
        page: it is answered with this page of HTML, status 200.
    """

    where: str = ""
    times: int = 1
    status: int = 0
    retry_after: str = ""
    delay: float = 0.0
    cut: Literal["", "reading", "before", "after", "answering"] = ""
    trickle: float = 0.0
    page: str = ""

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and re.search(self.where, f"{method} {path}") is not None
