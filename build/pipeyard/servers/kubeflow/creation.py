"""Runs and schedules are made once: what, done twice, would be two isn't repeated before it is known what became of it.

The server makes an object in Kubernetes first and records it then. So an error 500, a broken connection or silence may
leave an object that the API doesn't list: a workflow, which the server removes once it is 120 s old and its agent
reports it, or a scheduled workflow, which nobody removes. What isn't known is looked up: in the records, by a name that
the server keeps; in Kubernetes, where the environment's is reachable; and else by waiting until what may be there is
removed. Source: the recorded facts of a server of 2.17.0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pipeyard.servers.kubeflow.cluster import Cluster, KubernetesObject, Unreachable
from pipeyard.servers.kubeflow.connection import Doubt, Server, ServerError
from pipeyard.system import polling

# Seconds after which the server removes a workflow that it has no record of.
REMOVED_AFTER = 120.0
# Seconds that this, or a record, may come late; for so long the server has to have answered, too.
MARGIN = 30.0
# Seconds that are waited, beyond, for a server that doesn't answer.
PATIENCE = 300.0
_INTERVAL = 5.0


@dataclass(frozen=True)
class Creation:
    """Something to be made.

    Attributes:
        what: for messages, as in "starting the run 'x'".
        call: a generated client's method, which gets `body`.
        recorded: returns what the server recorded of it; None: nothing.
        left: returns the objects in Kubernetes that it may have left and that no record knows.
        removed_after: seconds after which the server removes such an object; None: never.
        look: how to find such an object by hand.
    """

    what: str
    call: Callable[..., Any]
    body: Any
    recorded: Callable[[], Any]
    left: Callable[[Cluster], Sequence[KubernetesObject]]
    removed_after: float | None
    look: str


@dataclass(frozen=True)
class _Settled:
    """What became of it.

    Attributes:
        record: what the server recorded; None: nothing.
        gone: nothing of it is left, and so it may be made again.
        why: what isn't known, in words.
    """

    record: Any = None
    gone: bool = False
    why: str = ""


@dataclass
class _Watch:
    """Since when the server answers."""

    began: float
    steady_since: float | None = None
    told: set[str] = field(default_factory=set)


def once(server: Server, creation: Creation) -> Any:
    """Makes something once, and returns what the server recorded.

    It is asked for a second time where it is certain that nothing is left of the first, and never a third.

    Raises:
        ServerError: the server refuses it, or can't be reached; or it isn't known whether it was made: then it says
            what to look for.
    """
    for last in (False, True):
        try:
            return server.ask(creation.what, creation.call, creation.body, repeat=False)
        except ServerError as error:
            if not error.doubt:
                raise
            settled = _settle(server, creation, error)
            if settled.record is not None:
                return settled.record
            if last or not settled.gone:
                raise _told(server, creation, error, settled) from None
    raise AssertionError("the second time is the last")


def _settle(server: Server, creation: Creation, error: ServerError) -> _Settled:
    """Waits until it is known what became of a call that failed, or that it can't be."""
    watch = _Watch(server.clock())
    server.tell(f"{error.cause} Looking whether it was done nevertheless.")
    longest = (creation.removed_after or 0.0) + MARGIN
    while True:
        waited = server.clock() - watch.began
        left: Sequence[KubernetesObject] | None = None
        why = ""
        try:
            record = creation.recorded()
            if record is not None:
                return _Settled(record)
            left, why = _left(server, creation)
        except ServerError as failure:
            if not failure.passing:
                return _Settled(why=failure.cause)
            watch.steady_since, why = None, failure.cause
        else:
            if watch.steady_since is None:
                watch.steady_since = server.clock()
            settled = _decided(creation, error, left, why, waited >= longest and _is_steady(server, watch))
            if settled is not None:
                return settled
        if waited >= longest + PATIENCE:
            return _Settled(why=why)
        _tell_once(server, creation, watch, left)
        server.sleep(polling.pause(waited, _INTERVAL))


def _decided(
    creation: Creation, error: ServerError, left: Sequence[KubernetesObject] | None, why: str, waited: bool
) -> _Settled | None:
    """Returns what is known while there is no record; None: waiting tells more.

    Args:
        left: objects in Kubernetes; None: it can't be asked.
        waited: long enough for what the server removes to be removed.
    """
    ended = error.status == HTTPStatus.INTERNAL_SERVER_ERROR  # the server's own answer: it isn't at it any more
    if left is not None and not left and ended:
        return _Settled(gone=True)
    if creation.removed_after is None and ended:
        return _Settled(why=why)  # nobody removes it, so that waiting tells nothing
    if not waited:
        return None
    if left:
        return _Settled(why=why)
    removed = left is not None or creation.removed_after is not None
    return _Settled(gone=removed and error.doubt == Doubt.DONE, why=why)


def _left(server: Server, creation: Creation) -> tuple[Sequence[KubernetesObject] | None, str]:
    """Returns the objects that no record knows, None if Kubernetes can't be asked; and that in words."""
    try:
        cluster = server.cluster()
        if not cluster.sure:
            return None, f"{cluster.where} wasn't asked: settings.yaml doesn't say that it is this environment's"
        found = creation.left(cluster)
    except Unreachable as error:
        return None, str(error)
    names = ", ".join(f"{each.kind} {each.name}" for each in found)
    return found, f"{cluster.where} has {names}, without a record" if found else f"{cluster.where} has none"


def _is_steady(server: Server, watch: _Watch) -> bool:
    return watch.steady_since is not None and server.clock() - watch.steady_since >= MARGIN


def _tell_once(server: Server, creation: Creation, watch: _Watch, left: Sequence[KubernetesObject] | None) -> None:
    seconds = (creation.removed_after or 0.0) + MARGIN
    line = f"Waiting up to {seconds:.0f} s: what the server made without recording it is removed by then."
    if creation.removed_after is None:
        line = f"Waiting up to {seconds:.0f} s for the server's record of it."
    if left:
        line = f"Waiting until {', '.join(each.name for each in left)} is removed, which no record knows."
    if line not in watch.told:
        watch.told.add(line)
        server.tell(line)


def _told(server: Server, creation: Creation, error: ServerError, settled: _Settled) -> ServerError:
    doctor = f"pipeyard doctor --env {server.environment}"
    if settled.gone:
        message = (
            f"{error.cause} It failed twice, and nothing of it is left. If the server is well, it can't make anything "
            "of this version: deploy again (`pipeyard deploy`), and look at the log of ml-pipeline's API server."
        )
        return ServerError(message, error.status)
    message = (
        f"{error.cause} It isn't known whether it was done. The server has no record of it; "
        f"{settled.why.rstrip('.') or 'more can not be asked'}. Look with `{creation.look}`; `{doctor}` finds what no "
        f"record knows, and `{doctor} --fix` removes it. Then run this again."
    )
    return ServerError(message, error.status, doubt=error.doubt)
