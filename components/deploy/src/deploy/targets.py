"""What serves the pushed versions, behind one interface: `rollout.target.Staging`, and what deploy asks of it.

A target is a module here with a line in `TARGETS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy import kserve, states, tfserving
from deploy.desired_target import DeployTarget, DesiredTarget, FollowedTarget, Given, Rules
from deploy.vertex import target as vertex
from rollout.desired import Desired
from rollout.policy import CANARY, DIRECT, SHADOW
from stepkit.errors import UsageError

__all__ = ["TARGETS", "DeployTarget", "DesiredTarget", "FollowedTarget", "Given", "Rules", "open_target", "publish"]

LOCAL = "local"
TFSERVING = tfserving.NAME
KSERVE = kserve.NAME
VERTEX = vertex.NAME


def _local(serving_uri: str, model_name: str, rules: Rules) -> DeployTarget:
    """`pipeyard serve`, or whatever else follows `rollout.json`."""
    return DesiredTarget(LOCAL, states.open_state(serving_uri, model_name), rules)


def _tfserving(serving_uri: str, model_name: str, rules: Rules) -> DeployTarget:
    """TensorFlow Serving, which reads `models.config` again and again."""
    state = states.open_state(serving_uri, model_name)
    return DesiredTarget(TFSERVING, state, rules, lambda: tfserving.publish(serving_uri))


def _no_options(given: Given) -> None:
    if given.options:
        raise UsageError(
            f"--serving-options has {', '.join(map(repr, sorted(given.options)))}, and this --serving-target takes "
            "none. Leave it out, or choose another target."
        )


@dataclass(frozen=True)
class Kind:
    """A kind of target.

    Attributes:
        strategies: those that it can follow.
        instead: what to do for the others.
        check: raises StepError for what can't be deployed there; contacts nothing.
    """

    open: Callable[[str, str, Rules], DeployTarget]
    strategies: tuple[str, ...]
    instead: str = ""
    check: Callable[[Given], None] = _no_options


TARGETS: Mapping[str, Kind] = {
    LOCAL: Kind(_local, (DIRECT, CANARY, SHADOW)),
    TFSERVING: Kind(_tfserving, (DIRECT, CANARY), "TF Serving copies no requests; use canary, or the target local"),
    KSERVE: Kind(
        kserve.open_target,
        (DIRECT, CANARY),
        "KServe copies no requests to a version; use canary, or the target local",
        kserve.check,
    ),
    VERTEX: Kind(
        vertex.open_target,
        (DIRECT, CANARY),
        "an endpoint of Vertex AI copies no requests; use canary, or the target local",
        vertex.check,
    ),
}


def open_target(name: str, serving_uri: str, model_name: str, rules: Rules) -> DeployTarget:
    """Returns a target for one model; `parameters.check` has looked at its name."""
    return TARGETS[name].open(serving_uri, model_name, rules)


def publish(current: Desired, serving_uri: str) -> None:
    """Tells what serves a model of a state that was changed elsewhere, e.g. by the supervisor."""
    if current.target == TFSERVING:
        tfserving.publish(serving_uri)
