"""When a schedule is due: five fields as crontab has them, and a time zone."""

import re
import zoneinfo
from datetime import UTC, datetime

from croniter import CroniterBadDateError, CroniterError, croniter

from pipeyard.errors import near_misses
from pipeyard.settings.problems import Unfit

# croniter knows more than Kubeflow does: L, #, H, R, @daily.
_NUMBERS = r"[0-9*,/?-]+"
_NAMES = r"[0-9a-zA-Z*,/?-]+"
_FIELDS = re.compile(rf"{_NUMBERS} {_NUMBERS} {_NUMBERS} {_NAMES} {_NAMES}")
# As crontabs and Kubernetes' CronJobs may have it.
_ZONE = re.compile(r"\s*((?:CRON_)?TZ\s*=)\s*[\"']?([\w+/-]*)")


def checked_cron(text: str) -> str:
    """Returns a schedule's five fields, one space between them.

    Raises:
        Unfit: they aren't five, have what Kubeflow doesn't know, or are never due.
    """
    if zone := _ZONE.match(text):
        raise Unfit(
            f"{zone[1]} is no field: schedules have their time zone beside the cron",
            f"Leave it out, and write timezone: {zone[2] or 'Europe/Berlin'}.",
        )
    fields = text.split()
    if len(fields) != 5:
        fix = "Write five as crontab has them: minute, hour, day of month, month, day of week"
        raise Unfit(f"{len(fields)} fields", f"{fix}, without seconds." if len(fields) == 6 else f"{fix}.")
    text = " ".join(fields)
    if not _FIELDS.fullmatch(text):
        raise Unfit("a field has what Kubeflow doesn't know", "Write numbers, names of months and days, * , - / and ?.")
    try:
        croniter(text, datetime(2000, 1, 1, tzinfo=UTC)).get_next()
    except CroniterBadDateError as error:
        raise Unfit(f"{text!r} is never due", "Write a day that the month has.") from error
    except (CroniterError, ValueError, KeyError) as error:
        raise Unfit(f"{text!r} is no schedule: {error}", "Write one such as 0 3 * * 1.") from error
    return text


def checked_zone(name: str) -> str:
    """Returns the name of a time zone.

    Raises:
        Unfit: there is none of that name.
    """
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = near_misses(name, zoneinfo.available_timezones()).partition(" There are:")[0]
        hint = hint if hint.startswith("Did") else "Write a name such as Europe/Berlin."
        raise Unfit(f"there is no time zone {name!r}", hint) from error
    return name
