"""The manifest of transformed examples."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepkit import digest
from stepkit.examples import MANIFEST
from transform.shards import Shard


def write(folder: Path, output_format: str, compression: str, plan: Mapping[str, Sequence[Shard]]) -> dict[str, Any]:
    """Writes `manifest.json` beside the files that `plan` names, and returns what it holds.

    Returns:
        `format`, `compression` and `splits`: {split: {rows, bytes, files: [{path, rows, bytes, sha256}]}}.
    """
    splits = {}
    for split, shards in plan.items():
        files: list[dict[str, Any]] = [
            {
                "path": shard.target,
                "rows": shard.rows,
                "bytes": (folder / shard.target).stat().st_size,
                "sha256": digest.of_file(folder / shard.target),
            }
            for shard in shards
        ]
        splits[split] = {
            "rows": sum(shard.rows for shard in shards),
            "bytes": sum(file["bytes"] for file in files),
            "files": files,
        }
    manifest = {"format": output_format, "compression": compression, "splits": splits}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest
