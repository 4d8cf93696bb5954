"""Files that appear whole or not at all."""

import uuid
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes aside and renames it into place; of several writers the last one wins."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
