"""Logs of what is served: how long they are kept, and how large they get."""

import contextlib
import shutil
import time
from pathlib import Path

# A log that is larger is cut: its content goes to NAME.1, over the one before.
MOST_BYTES = 20_000_000
_DAY_SECONDS = 86_400


def keep(folder: Path, days: float, most_bytes: int = MOST_BYTES, now: float | None = None) -> list[str]:
    """Cuts logs that are too large, and removes those that nothing was written to for so long.

    Logs are written by processes that append; so they are cut where they are, and not renamed.

    Args:
        days: 0 removes all.
        now: epoch seconds.

    Returns:
        Names of those that were removed.
    """
    removed = []
    oldest = (time.time() if now is None else now) - days * _DAY_SECONDS
    for log in sorted({*folder.glob("*.log*"), *folder.glob("rollout-*.jsonl*")}):  # aliases.json is no log
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_mtime <= oldest:
                log.unlink()
                removed.append(log.name)
            elif log.suffix == ".log" and log.stat().st_size > most_bytes:  # a rollout's is cut between rollouts
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                with log.open("r+b") as stream:
                    stream.truncate()
    return removed
