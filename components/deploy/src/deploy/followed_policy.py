"""What of a rollout's policy can be kept where deploy itself follows a candidate: known before there is a model."""

import sys

from deploy.desired_target import Given
from rollout.loop import Rhythm
from rollout.policy import DIRECT, Policy
from stepkit.errors import UsageError

_OF_LABELS = ("min_labels", "metric_margin")


def check(given: Given, target: str, rhythm: Rhythm, tells_scores: bool) -> None:
    """Checks a policy against what is observed at a target; says on stderr which default isn't kept there.

    Args:
        target: its name, for messages.
        tells_scores: whether distributions of the versions' scores are observed.

    Raises:
        UsageError: the policy asks for labels, which are joined by `pipeyard serve` alone; or for a limit of drift
            where no scores are seen; or its deadline comes before the last step's first window.
    """
    if given.strategy == DIRECT:
        return
    policy = Policy.from_json(given.policy)
    if asked := [name for name in _OF_LABELS if given.policy.get(name)]:
        raise UsageError(
            f"--rollout-policy has {' and '.join(asked)}: at --serving-target {target} no labels are joined with "
            "answers, so nothing would meet it. Leave it out, or use the target local (`pipeyard serve labels`)"
        )
    if not tells_scores and given.policy.get("drift_limit") is not None:
        raise UsageError(
            f"--rollout-policy has a drift_limit: --serving-target {target} tells no scores, so that the drift of "
            "predictions can't be looked at. Leave it out, or use the target kserve or local"
        )
    if not tells_scores and "drift_limit" not in given.policy:
        print(
            f"--rollout-policy: --serving-target {target} tells no scores, so that the drift of predictions isn't "
            f"looked at, and the default drift_limit of {policy.drift_limit:g} isn't kept. Set drift_limit to null to "
            "say so, or use the target kserve or local",
            file=sys.stderr,
        )
    looks = len(policy.steps) - 1
    least = (looks - 1) * (rhythm.every + rhythm.lag) + rhythm.every
    if policy.deadline_seconds < least:
        raise UsageError(
            f"--rollout-policy: deadline_seconds is {policy.deadline_seconds:g}, but at --serving-target {target} "
            f"{looks} steps take {least:g} s at least: every candidate would be rolled back. Give more time or fewer "
            "steps"
        )
