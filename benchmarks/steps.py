"""Command lines of the components, as the pipelines call them, and inputs prepared with them."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks import places
from stepkit import digest

LABEL = "late"
SLICES = ["carrier", "origin"]
# Features that may be missing, so that the preprocessing_fn of flights takes sparse tensors of them.
SPARSE = ["tailnum"]
EPOCHS = 2
BATCH_ROWS = 256
MODULE = places.PROJECT.pipeline("flights") / "module.py"
SCHEMA = places.PROJECT.pipeline("flights") / "schema.pbtxt"
# As pipelines/flights/pipeline.py calls its steps.
PARAMETERS = {
    "extract": {"where": "arr_delay IS NOT NULL", "null_values": '["", "NA"]'},
    "data_validation": {
        "schema_text": SCHEMA.read_text(encoding="utf-8"),
        "slices": '["origin"]',
    },
    "transform": {"module": MODULE.read_text(encoding="utf-8")},
    "train": {
        "module": MODULE.read_text(encoding="utf-8"),
        "label_key": LABEL,
        "epochs": str(EPOCHS),
        "batch_size": str(BATCH_ROWS),
    },
    "train_trees": {"module": MODULE.read_text(encoding="utf-8"), "label_key": LABEL},
    "evaluate": {
        "label_key": LABEL,
        "slices": json.dumps(SLICES),
        "thresholds": '{"AUC": {"lower": 0.7, "min_change": -0.01}}',
    },
}
# Every row in one split, so that what a step does is in proportion to the rows of its input.
WHOLE = '{"train": 1}'
SPLIT = '{"train": 2, "eval": 1}'


def command(component: str, inputs: Mapping[str, str], outputs: Path) -> list[str]:
    """Returns the command line of a step.

    Args:
        inputs: input to value, or to path for an artifact; others have the spec's defaults.
        outputs: folder that gets each output under its name.

    Raises:
        UnavailableError: its environment can't be made.
        KeyError: the component has no such input.
    """
    spec = places.PROJECT.components[component].spec
    known = {each["name"] for each in spec["inputs"]}
    if unknown := set(inputs) - known:
        raise KeyError(f"{component} has no input {', '.join(sorted(unknown))}")
    flags = {**inputs, **{each["name"]: str(outputs / each["name"]) for each in spec["outputs"]}}
    arguments = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", value)]
    return [str(places.python(places.component(component))), "-m", component, *arguments]


@dataclass(frozen=True)
class Prepared:
    """What steps made of a CSV file, kept from run to run. Each output is made when it is first asked for.

    Attributes:
        source: CSV of flights.
        splits: extract's.
        where: extract's condition.
        null_values: extract's, too.
        parameters: component to its inputs; of extract they are those above.
    """

    source: Path
    splits: str
    where: str = PARAMETERS["extract"]["where"]
    null_values: str = PARAMETERS["extract"]["null_values"]
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: PARAMETERS)

    @cached_property
    def examples(self) -> Path:
        """Extract's output."""
        inputs = {
            "source": str(self.source),
            "splits": self.splits,
            "where": self.where,
            "null_values": self.null_values,
        }
        return self._made("extract", inputs) / "examples"

    @cached_property
    def schema(self) -> Path:
        """data_validation's output."""
        return self.validated / "schema"

    @cached_property
    def validated(self) -> Path:
        """Folder with all that data_validation makes."""
        return self._made("data_validation", {**self.parameters["data_validation"], "examples": str(self.examples)})

    @cached_property
    def _transform(self) -> Path:
        inputs = {**self.parameters["transform"], "examples": str(self.examples), "schema": str(self.schema)}
        return self._made("transform", inputs)

    @property
    def raw_schema(self) -> Path:
        """transform's output."""
        return self._transform / "raw_schema"

    @property
    def graph(self) -> Path:
        """transform's output."""
        return self._transform / "transform_graph"

    @property
    def transformed(self) -> Path:
        """transform's output."""
        return self._transform / "transformed_examples"

    @cached_property
    def model(self) -> Path:
        """train's output."""
        inputs = {
            **self.parameters["train"],
            "transformed_examples": str(self.transformed),
            "transform_graph": str(self.graph),
        }
        return self._made("train", inputs) / "model"

    def _made(self, component: str, inputs: Mapping[str, str]) -> Path:
        """Runs a step, unless the same one has run on the same inputs; upstream folders' names tell of theirs."""
        source = places.PROJECT.components[component].source_digest
        key = json.dumps([source, sorted(inputs.items()), self.source.stat().st_mtime_ns])
        folder = places.DATA / "prepared" / f"{component}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        if folder.is_dir():
            return folder
        places.say(f"preparing: {component} of {self.source.name}")
        aside = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        places.told(command(component, inputs, aside), places.component_env(component))
        aside.rename(folder)
        return folder


def split_csv(prepared: Prepared) -> Path:
    """Returns a folder with SPLIT.csv of the examples and nothing else, for programs that split otherwise."""
    program = places.PROGRAMS / "examples_to_csv.py"
    component = places.component("transform")
    return once(
        f"csv-{prepared.examples.parent.name}",
        lambda folder: places.told(
            [places.python(component), program, prepared.examples, folder], places.component_env("transform")
        ),
    )


def repeated(examples: Path, times: int) -> Path:
    """Returns examples, as they are or transformed, that have each file several times: of any size, at no cost."""
    if times == 1:
        return examples

    def make(folder: Path) -> None:
        manifest = json.loads((examples / "manifest.json").read_text(encoding="utf-8"))
        for name, split in manifest["splits"].items():
            (folder / name).symlink_to(examples / name)
            split |= {"rows": split["rows"] * times, "bytes": split["bytes"] * times, "files": split["files"] * times}
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    return once(f"{examples.name}-{times}-times-{examples.parent.name}", make)


def digest_of(folder: Path) -> str:
    """Returns a short name of what is in a folder."""
    return digest.of_tree(folder)[:16]


def once(name: str, make: Callable[[Path], object]) -> Path:
    """Returns a folder that `make` fills if it isn't there yet.

    Args:
        name: of the folder; tells everything that decides what is in it.
    """
    folder = places.DATA / "prepared" / name
    # Beside it and not in it: some programs take every file of their input's folder for data.
    whole = folder.with_name(f".{name}.whole")
    if not (folder.is_dir() and whole.exists()):
        places.say(f"preparing: {name}")
        whole.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            # In place and not aside: TFX's metadata has absolute paths.
            make(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        whole.touch()
    return folder
