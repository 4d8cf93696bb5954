"""What triggers speak of. All times are aware datetimes in UTC; all of it is JSON in a trigger's state and log."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class EventKind(StrEnum):
    """What happened.

    OBJECT: an object is new, or has new content. REMOVAL: a version of one is gone. TICK: nothing, but time passed.
    """

    OBJECT = "object"
    REMOVAL = "removal"
    DRIFT = "drift"
    QUALITY = "quality"
    COMPLETION = "completion"
    SCHEDULE = "schedule"
    TICK = "tick"


# What nobody tells: whoever is asked to looks for it, again and again.
LOOKED_FOR = (EventKind.DRIFT, EventKind.QUALITY, EventKind.COMPLETION)


class Code(StrEnum):
    """What was decided, for programs."""

    STARTED = "started"
    WAITING = "waiting"  # for more files
    COOLING = "cooling"
    CAPPED = "capped"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    REMOVED = "removed"
    STALE = "stale"
    FULL = "full"
    REFUSED = "refused"
    NOTHING = "nothing"


class _TriggerRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Event(_TriggerRecord):
    """Something that may start a run.

    Attributes:
        id: of the message; '' if it has none.
        subject: what it tells of. The same, told twice, has the same subject: an object's URI with its generation.
        uri: what the run is to read.
        time: when it happened, not when it was delivered.
        generation: of an object; 0 for what has none.
        detail: for people.
        attributes: what routing goes by: bucket and name of an object, pipeline and environment of a run.
    """

    id: str = ""
    kind: EventKind
    subject: str = ""
    uri: str = ""
    time: datetime
    generation: int = 0
    detail: str = ""
    attributes: dict[str, str] = Field(default_factory=dict)


class Policy(_TriggerRecord):
    """When a trigger starts a run.

    Attributes:
        name: of the trigger; runs are named by it. Lower-case letters, digits and hyphens.
        scope: what tells its runs from those of triggers of the name elsewhere: environment and pipeline.
        parameter: of the run, that gets the URIs, separated by commas; '': none does.
        parameters: that the run gets besides.
        quorum: distinct URIs that a run takes at least.
        quorum_window: that they must have happened within; 0: whenever.
        cool_down: from one start to the next.
        daily_cap: most starts a day, in UTC; 0: no limit.
        remember: how long delivered events are remembered. Pub/Sub repeats messages for 7 days.
    """

    name: str
    scope: str = ""
    parameter: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    quorum: int = 1
    quorum_window: timedelta = timedelta(0)
    cool_down: timedelta = timedelta(0)
    daily_cap: int = 0
    remember: timedelta = timedelta(days=8)

    @property
    def kept(self) -> timedelta:
        """How long delivered events are kept: a day longer than events are taken."""
        return self.remember + timedelta(days=1)


class Seen(_TriggerRecord):
    """That something was decided on already."""

    at: datetime
    code: Code


class Newest(_TriggerRecord):
    """The newest version of an object that an event named."""

    time: datetime
    generation: int
    at: datetime


class RunStart(_TriggerRecord):
    """A start of a run: the record that is written before it is made.

    Attributes:
        key: names the run, by what it is started for: whoever starts it finds it if it is there already.
        uris: what it is started for.
        run: its id, once it is started.
        holder: who is starting it.
        held_until: when another may take the holder for dead.
        tries: how often it was tried to start it.
        problem: why the last try failed.
        given_up: nobody tries any more.
    """

    key: str
    parameters: dict[str, Any]
    uris: list[str]
    decided_at: datetime
    run: str = ""
    holder: str = ""
    held_until: datetime | None = None
    tries: int = 0
    problem: str = ""
    given_up: bool = False

    @property
    def open(self) -> bool:
        """True as long as it has to be started."""
        return not self.run and not self.given_up


class LogEntry(_TriggerRecord):
    """A line of a trigger's log: the event, when it came, and what was decided."""

    at: datetime
    event: Event
    code: Code
    reason: str
    key: str = ""


# Of a trigger's state. The first, of which states say nothing, had all that was seen in it, and all of a day's starts.
FORMAT = 2


class TriggerState(_TriggerRecord):
    """All that a trigger knows from one event to the next, but for what is in shards: see `shards`.

    Attributes:
        seen: events that were delivered already, by digests of message ids and subjects.
        newest: by digests of URIs.
        sharded: whether some of both is in shards.
        held: URI to what waits for a quorum.
        due: URI to what has its quorum and waits for the cool-down, or the cap.
        starts: the latest, and those that are open.
        last_start: when the latest was decided on.
        day: in UTC, that `today` counts.
        today: how many were.
        history: the latest decisions, the newest last.
    """

    format: int = FORMAT
    seen: dict[str, Seen] = Field(default_factory=dict)
    newest: dict[str, Newest] = Field(default_factory=dict)
    sharded: bool = False
    held: dict[str, Event] = Field(default_factory=dict)
    due: dict[str, Event] = Field(default_factory=dict)
    starts: list[RunStart] = Field(default_factory=list)
    last_start: datetime | None = None
    day: date | None = None
    today: int = 0
    history: list[LogEntry] = Field(default_factory=list)


class Decision(_TriggerRecord):
    """What an event means.

    Attributes:
        start: whether to start a run: `key` names it, `parameters` what the trigger gives it.
        reason: why, in words.
        state: what is known from now on.
        again: the event wasn't taken; the sender must deliver it again later.
    """

    start: bool
    code: Code
    reason: str
    key: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    again: bool = False
    state: TriggerState


class Asked(_TriggerRecord):
    """Digests by which is looked for what is known of an event: `seen` and `newest` of a state."""

    seen: list[str] = Field(default_factory=list)
    newest: list[str] = Field(default_factory=list)


def digest(*parts: str) -> str:
    """Returns 16 hex digits that stand for the parts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def run_key(policy: Policy, subjects: Sequence[str]) -> str:
    """Returns what names the run for these subjects: the same for the same."""
    return f"{policy.name}-{digest(policy.scope, *sorted(subjects))}"
