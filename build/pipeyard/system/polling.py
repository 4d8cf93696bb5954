"""How long to wait before one looks again."""


def pause(waited: float, longest: float) -> float:
    """Returns a tenth of the time waited so far, so that no end is noticed later than that; within bounds.

    Args:
        waited: seconds since the first look.
        longest: seconds; what is returned is between a tenth of it and it.
    """
    return min(longest, max(longest, waited) / 10)
