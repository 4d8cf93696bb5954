"""What the programs beside this one have in common."""

import shutil
from pathlib import Path

from tfx import v1 as tfx

SPLITS = ("train", "eval")


def ingest(data: Path) -> list:
    """Returns CsvExampleGen of a folder with SPLIT.csv, StatisticsGen and SchemaGen."""
    splits = [tfx.proto.Input.Split(name=name, pattern=f"{name}.csv") for name in SPLITS]
    examples = tfx.components.CsvExampleGen(input_base=str(data), input_config=tfx.proto.Input(splits=splits))
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    return [examples, statistics, schema]


def transform(module: Path, sparse: list[str], statistics: bool, root: Path, **inputs) -> tuple:
    """Returns Transform of user_module.py around a pipeline's module, and the path of that file.

    Args:
        module: pipelines/NAME/module.py.
        sparse: features that the pipeline expects as sparse tensors.
        statistics: leave Transform's own statistics on.
        root: gets the files that TFX packs into a wheel.
        inputs: channels.
    """
    folder = root / "module"
    folder.mkdir(parents=True)
    shutil.copy(module, folder / "pipeline_module.py")
    module_file = str(shutil.copy(Path(__file__).with_name("user_module.py"), folder))
    component = tfx.components.Transform(
        **inputs,
        module_file=module_file,
        custom_config={"sparse": sparse},
        disable_statistics=not statistics,
    )
    return component, module_file


def pipeline(root: Path, name: str, components: list) -> tfx.dsl.Pipeline:
    """Returns a pipeline without a cache, whose artifacts are in root/name."""
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / f"{name}.db"))
    return tfx.dsl.Pipeline(
        pipeline_name=name,
        pipeline_root=str(root / name),
        components=components,
        enable_cache=False,
        metadata_connection_config=connection,
    )
