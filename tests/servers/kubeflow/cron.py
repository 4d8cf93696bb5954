"""Schedules as robfig/cron v1, which Kubeflow Pipelines uses, reads them: seconds first, the day of the week last."""

from datetime import datetime

from croniter import croniter

from .refusals import invalid

_FIELDS = 6
_REFUSED = "Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron)"


def check(expression: str) -> None:
    """Refuses what isn't a schedule."""
    next_time(expression, datetime(2026, 1, 1))


def next_time(expression: str, after: datetime) -> datetime:
    """Returns when a schedule is due next.

    Five fields are no crontab: they are the first five of six, seconds first, without the day of the week.
    """
    fields = expression.split()
    if len(fields) == _FIELDS - 1:
        fields.append("*")
    days = fields[-1].replace("?", "*") if len(fields) == _FIELDS else ""
    if len(fields) != _FIELDS or "7" in days.split("/")[0]:
        raise invalid(f"{_REFUSED}: {expression}")
    try:
        return croniter(" ".join(fields).replace("?", "*"), after, second_at_beginning=True).get_next(datetime)
    except (ValueError, KeyError) as error:
        raise invalid(f"{_REFUSED}: {error}") from error
