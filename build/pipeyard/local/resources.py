"""How much a step may take."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from pipeyard.errors import PipeyardError

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<suffix>m|[kKMGTPE]?|[KMGTPE]i)")
_POWERS = {letter: power for power, letter in enumerate("KMGTPE", start=1)}


@dataclass(frozen=True)
class ResourceLimits:
    """What a step may take; None: no limit.

    Attributes:
        memory: bytes.
        cpus: cores.
        memory_text: as it is written.
    """

    memory: int | None = None
    cpus: float | None = None
    memory_text: str = field(default="", compare=False)

    def exceeded(self, task: str, held: int = 0) -> str:
        """Returns the error of a task that took more memory than its limit.

        Args:
            held: bytes that it was seen to hold; it may have held more when it was killed.
        """
        how = f", when it held {held / 1e6:,.0f} MB" if held > (self.memory or 0) else ""
        return (
            f"out of memory: {task!r} took more than its limit of {self.memory_text} and was killed{how}. Raise the "
            "limit in pipeline.py by set_memory_limit, or give it less data"
        )


def limits_of(resources: Mapping[str, str], cores: int = 0) -> ResourceLimits:
    """Reads the limits of the IR's `resources`: Kubernetes quantities, or the older fields with numbers (GB, cores).

    Args:
        cores: of the engine, which refuses a higher limit; 0: there is none.

    Raises:
        PipeyardError: a quantity isn't one.
    """
    memory, cpus = resources.get("resourceMemoryLimit"), resources.get("resourceCpuLimit")
    if not memory and "memoryLimit" in resources:
        memory = f"{resources['memoryLimit']}G"
    cpus = cpus or resources.get("cpuLimit")
    limited = min(float(_quantity(cpus)), cores or float("inf")) if cpus else None
    return ResourceLimits(int(_quantity(memory)) if memory else None, limited, memory or "")


def _quantity(text: str) -> Decimal:
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise PipeyardError(f"the limit {text!r} is no quantity as Kubernetes has them, e.g. 500m, 2, 512Mi, 4G.")
    number, suffix = match.group("number"), match.group("suffix")
    if suffix == "m":
        return Decimal(number) / 1000
    power = _POWERS[suffix[0].upper()] if suffix else 0
    return Decimal(number) * (1024 if suffix.endswith("i") else 1000) ** power
