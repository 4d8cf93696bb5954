"""Follows a staged candidate until it is decided, at targets where nobody else does."""

import dataclasses
import sys
from collections.abc import Callable

from deploy import promotion
from deploy.desired_target import DeployTarget, FollowedTarget
from deploy.rollout import Deployed, alias_of
from rollout import loop
from rollout.errors import RolloutError
from rollout.log import Look
from stepkit.errors import StepError


def reach(target: DeployTarget) -> None:
    """Fails, before anything is pushed, where the target can't be reached.

    Raises:
        StepError: it can't.
    """
    if isinstance(target, FollowedTarget):
        target.reach()


def follow(
    deployed: Deployed, target: DeployTarget, serving_uri: str, alias: str, sleep: Callable[[float], None]
) -> Deployed:
    """Returns how a deployed version stands when its rollout is decided; at once where there is none to follow.

    A step that was killed is run again: then this goes on where it was.

    Raises:
        StepError: the target fails. The version is where it was; the next try goes on.
    """
    if not isinstance(target, FollowedTarget) or not target.is_begun():
        return deployed
    number, name = deployed.version.version, deployed.version.name
    try:
        state = loop.follow(target, number, loop.Edges(target.rules.now, sleep, _tell), target.rhythm)
    except RolloutError as error:
        raise StepError(str(error)) from error
    last = state.decided
    if not last or last.version != number:
        return deployed
    promotion.align_with(state, serving_uri, name)
    role = target.role(number)
    print(
        f"version {number} of {name!r} was {last.action.replace('_', ' ')}:", *last.reasons, sep="\n  ", file=sys.stderr
    )
    return dataclasses.replace(deployed, role=role, alias=alias_of(role, alias), decided=last.action)


def _tell(look: Look) -> None:
    """One line a look, for the step's log."""
    stable, candidate = look.stable, look.candidate
    if not (stable.alive and candidate.alive):
        seen = "no evidence: " + " and ".join(
            f"version {window.version} can't be observed" for window in (stable, candidate) if not window.alive
        )
    else:
        seen = ", ".join(
            f"version {each.version}: {each.requests} requests, {each.errors} errors" for each in (stable, candidate)
        )
    decided = look.decision
    print(f"{look.weight}%: {seen}; {decided.action}: {decided.reasons[0] if decided.reasons else ''}", file=sys.stderr)
