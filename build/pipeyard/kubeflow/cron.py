"""Crontab's five fields as the six of Kubeflow Pipelines, which begin with seconds.

KFP reads schedules with robfig/cron v1. Five fields it takes for the first five of six, without the day of the week:
what is meant for Mondays at 6:30 then runs every hour in January. Sunday is 0 to it, never 7, and no range wraps. `*/2`
as a day counts as `*`: with a day of the week beside, both have to fit, where crontab's either does. What it reads in
another way becomes a list. Source: robfig/cron v1.2.0, parser.go and spec.go.
"""

from pipeyard.errors import PipeyardError

# Places of the fields for the day of the month and of the week.
_DAYS = (2, 4)
UTC = ("UTC", "Etc/UTC", "GMT", "Etc/GMT", "Zulu", "Etc/Zulu")


def six_fields(cron: str, timezone: str = "UTC") -> str:
    """Returns the schedule as KFP takes it, due at the same times.

    Args:
        cron: five fields, as settings.yaml has them.
        timezone: name of the zone that they are in.

    Raises:
        PipeyardError: KFP has no such schedule.
    """
    from croniter import croniter

    if timezone not in UTC:
        raise PipeyardError(
            f"The schedule is in the time zone {timezone!r}, and Kubeflow Pipelines' schedules have none. "
            "Write `cron:` in UTC, and leave `timezone:` out."
        )
    fields = cron.upper().split()
    if len(fields) != 5:
        raise PipeyardError(
            f"The schedule {cron!r} has {len(fields)} fields. "
            "Write five: minute, hour, day of month, month, day of week."
        )
    expanded, _ = croniter.expand(cron)
    written = [
        field if _is_read_alike(field, index) else ",".join(map(str, sorted(values)))
        for index, (field, values) in enumerate(zip(fields, expanded, strict=False))
    ]
    return " ".join(["0", *written])


def _is_read_alike(field: str, index: int) -> bool:
    for part in field.split(","):
        if index in _DAYS and part[:2] in ("*/", "?/"):
            return False
        low, is_range, high = part.partition("/")[0].partition("-")
        if is_range and not (low.isdigit() and high.isdigit() and int(low) <= int(high)):
            return False
        if index == _DAYS[-1] and "7" in (low, high):
            return False
    return True
