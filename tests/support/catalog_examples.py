"""Stores with a bit of everything that a catalog shows, descriptions that are no friends among it."""

import json
from collections.abc import Mapping

from pipeyard.component_store import layout
from pipeyard_components import version_states
from pipeyard_components.version_states import DEPRECATED, YANKED, VersionState

# Each would run, load or break out of its place if it were taken for HTML, JavaScript or CSS.
EVIL = (
    "</script><script>window.evil=1</script><img src=x onerror='window.evil=2'>"
    '" onfocus="window.evil=3" autofocus x="<!--<script>]]></style><style>*{display:none}</style>{{ 7 * 7 }}'
)


def spec(name: str, version: str = "", image: str = "reg/one@sha256:1", **more: object) -> bytes:
    """Returns a specification: `inputs` and `outputs` as kfp 1 has them, `annotations` with values that become JSON."""
    annotations = {"pipeyard.dev/version": version} if version else {}
    told: Mapping[str, object] = more.pop("annotations", {})  # type: ignore[assignment]
    annotations |= {f"pipeyard.dev/{key}": json.dumps(value) for key, value in told.items()}
    inputs = more.pop("inputs", [])
    args = [
        {"inputValue" if each["type"] in {"String", "Integer", "Float"} else "inputPath": each["name"]}
        for each in inputs  # type: ignore[attr-defined]
    ]
    document = {
        "name": name,
        "metadata": {"annotations": annotations},
        "inputs": inputs,
        **more,
        "implementation": {"container": {"image": image, "command": ["python", "-m", name], "args": args}},
    }
    return json.dumps(document, indent=1).encode()  # which is YAML, too


READ = spec(
    "read",
    "1.0.0",
    description="Reads rows.",
    inputs=[{"name": "Source URI", "type": "String"}],
    outputs=[{"name": "examples", "type": "Dataset"}],
    annotations={"output-types": {"examples": "Examples"}},
)
TRAIN_1 = spec(
    "train",
    "1.4.0",
    description="Fits a model.",
    inputs=[
        {"name": "examples", "type": "Dataset", "description": "Rows"},
        {"name": "rate", "type": "Float", "default": "0.5", "description": "How fast"},
    ],
    outputs=[{"name": "model", "type": "Model"}],
    annotations={"input-types": {"examples": "Examples"}, "domains": {"rate": {"exclusiveMinimum": 0, "maximum": 1}}},
)
TRAIN_2 = spec(
    "train",
    "2.0.0",
    description="Fits a model.",
    inputs=[
        {"name": "examples", "type": "Dataset", "description": "Rows"},
        {"name": "steps", "type": "Integer", "description": "How many"},
    ],
    outputs=[{"name": "model", "type": "Model"}],
    annotations={"input-types": {"examples": "Examples"}},
)
ANY = spec("keep", inputs=[{"name": "any", "type": "Artifact"}], description="Keeps whatever it is given.")
TEXT = spec("count_words", inputs=[{"name": "text", "type": "String"}], outputs=[{"name": "n", "type": "Integer"}])
WICKED = spec(
    EVIL,
    image=EVIL,
    description=EVIL,
    inputs=[{"name": EVIL, "type": "Dataset", "description": EVIL}, {"name": "b", "type": "String", "default": EVIL}],
    outputs=[{"name": "out", "type": EVIL, "description": EVIL}],
    annotations={"input-types": {EVIL: EVIL}, "domains": {"b": [EVIL]}, "other": EVIL},
)


def ours() -> dict[str, bytes]:
    """Returns a store: `train` has two versions, of which the first is deprecated; `io/keep` is in a group."""
    files = {**layout.publication("read", READ, ["v1"]), **layout.publication("io/keep", ANY)}
    files |= {**layout.publication("train", TRAIN_1, ["v1"]), **layout.publication("train", TRAIN_2, ["v2", "latest"])}
    files |= layout.publication("count_words", TEXT)
    states = {layout.digest_of(TRAIN_1): VersionState(DEPRECATED, "It reads everything twice.")}
    return files | {version_states.path("train"): version_states.dump(states)}


def theirs() -> dict[str, bytes]:
    """Returns another store: it has a `read` of its own, a `train` as ours has one, and one that means harm."""
    other = READ.replace(b"Reads rows.", b"Reads others' rows.")
    states = {layout.digest_of(WICKED): VersionState(YANKED, EVIL)}
    return {
        **layout.publication("read", other),
        **layout.publication("train", TRAIN_2),
        **layout.publication("wicked", WICKED),
        version_states.path("wicked"): version_states.dump(states),
    }
