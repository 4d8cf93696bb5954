"""Whether specs load in both kfp's that Pipeyard's users have, with the interface that is written in them."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.findings import Finding
from pipeyard.repository import venvs
from pipeyard.repository.project import Component

# kfp 1's environment; its lock says which version.
KFP_1 = Path("tests/kfp1")
_LOAD_1 = """
import json, sys
from kfp import components
loaded = []
for path in sys.argv[1:]:
    try:
        spec = components.load_component_from_file(path).component_spec
        loaded.append({"inputs": [i.name for i in spec.inputs or []], "outputs": [o.name for o in spec.outputs or []]})
    except Exception as error:
        loaded.append({"error": f"{type(error).__name__}: {error}"})
print(json.dumps(loaded))
"""

# What a version of kfp made of a spec: names of "inputs" and "outputs", or the "error".
Loaded = Mapping[str, Any]


def findings(component: Component, part: str, version: str, loaded: Loaded) -> Iterator[Finding]:
    """Yields what a version of kfp makes otherwise of a spec than it says.

    Args:
        part: what findings call the component.
        version: of kfp, for the message.
    """
    if "error" in loaded:
        yield Finding(
            part, "loads", f"kfp {version} can't load the spec ({loaded['error']})", "Keep to what both versions take."
        )
        return
    for side in ("inputs", "outputs"):
        declared = [each["name"] for each in component.spec.get(side) or []]
        if sorted(loaded[side]) != sorted(declared):
            yield Finding(
                part,
                "loads",
                f"kfp {version} calls its {side} {sorted(loaded[side])}, the spec {sorted(declared)}",
                "Use lower case letters, digits and underscores.",
            )


def load_2(path: Path) -> Loaded:
    """Loads a spec in the kfp of this process."""
    from kfp import components

    try:
        spec = components.load_component_from_file(str(path)).component_spec
    except Exception as error:  # pylint: disable=broad-exception-caught  # kfp raises many kinds
        return {"error": f"{type(error).__name__}: {error}"}
    return {"inputs": list(spec.inputs or {}), "outputs": list(spec.outputs or {})}


def load_1(root: Path, paths: Sequence[Path]) -> list[Loaded]:
    """Loads specs in kfp 1, in its own environment, which must be there.

    Raises:
        PipeyardError: kfp 1 itself doesn't work.
    """
    python = venvs.folder_of(root / KFP_1) / "bin" / "python"
    done = subprocess.run([str(python), "-c", _LOAD_1, *map(str, paths)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PipeyardError(
            f"kfp 1 in {KFP_1} doesn't work: {done.stderr.strip()}. Remove {KFP_1}/.venv and run again."
        )
    return json.loads(done.stdout.splitlines()[-1])
