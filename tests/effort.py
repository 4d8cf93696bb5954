"""What work took, where other suites may keep the machine busy."""

import resource


def worked() -> float:
    """Returns the seconds of CPU that programs which this one started have taken, of those that ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
