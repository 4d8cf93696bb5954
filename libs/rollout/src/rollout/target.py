"""What a place that serves models can do: a folder of this machine, a cluster, a cloud's endpoint."""

from collections.abc import Sequence
from typing import Protocol

from rollout.desired import Desired
from rollout.observations import Window


class Staging(Protocol):
    """One model in one place.

    Each method may be called again after it was interrupted, or after it was done: it brings the place to the state it
    names, from whatever it finds. There is never more than one candidate, and never a moment without a version that
    serves: what takes over is ready before what it replaces goes.
    """

    def stage(self, version: int) -> None:
        """Serves a version beside the stable one, with the first share of the traffic that the policy gives it.

        The first version of a model becomes the stable one, as every version does by the strategy `direct`.
        """

    def shift(self, version: int, weight: int) -> None:
        """Gives the candidate another percentage of the traffic; returns when it is in force."""

    def promote(self, version: int, reasons: Sequence[str]) -> None:
        """Gives the candidate all traffic: it is the stable version from now on."""

    def roll_back(self, version: int, reasons: Sequence[str]) -> None:
        """Gives the stable version all traffic, and ends the candidate."""


class Target(Staging, Protocol):
    """A place that nobody watches, so that who staged a candidate decides on it: see `rollout.loop`.

    All that has to be known to go on after a kill is kept there.
    """

    def read(self) -> Desired | None:
        """Returns what is desired; None if nothing was ever staged."""

    def remembered(self) -> str:
        """Returns the text that was given to `remember` last; empty if none was."""

    def remember(self, text: str) -> None:
        """Keeps a text of at most a few hundred characters."""

    def observe(self, state: Desired, start: float, end: float) -> tuple[Window, Window]:
        """Returns what the stable version and the candidate did from `start` to `end`, in seconds since the epoch.

        It may be asked again of any time since the candidate was staged, and answers the same. Of what it can't tell it
        gives a window with `alive=False`, which is no evidence.
        """
