"""Files that appear whole or not at all."""

import uuid
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes UTF-8 text aside and renames it into place; of several writers the last one wins."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
