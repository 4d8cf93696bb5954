"""How a run on a server ended, whichever server it is."""

from dataclasses import dataclass, field

SUCCEEDED = "SUCCEEDED"


@dataclass(frozen=True)
class FailedStep:
    """A step that failed.

    Attributes:
        name: its path in the pipeline.
        reason: as the server tells it; may be empty.
        log_url: of its log, or of the run where the server names no log.
        look: where else its log is, in words; may be empty.
    """

    name: str
    reason: str
    log_url: str
    look: str = ""


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        state: one of ENDS.
        seconds: that it took, by the server's clock.
        failed: the steps that failed.
        error: what the server says of the whole run; may be empty.
        page: the run's address.
        terminated: somebody stopped it. The server tells only while it does, so that False isn't certain.
    """

    state: str
    seconds: float
    failed: list[FailedStep] = field(default_factory=list)
    error: str = ""
    page: str = ""
    terminated: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether all is well. SKIPPED and CANCELED aren't."""
        return self.state == SUCCEEDED
