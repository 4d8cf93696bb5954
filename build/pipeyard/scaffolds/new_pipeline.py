"""A pipeline's files, written for the data that it is to learn from."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeyard.repository.project import Project
from pipeyard.scaffolds import column_roles, literals, placement, settings_entry
from pipeyard.scaffolds.column_roles import ColumnPlan
from pipeyard.scaffolds.data_facts import DataReader, DataSource, source_of
from pipeyard.scaffolds.rendering import check_name, rendered
from pipeyard.settings import FILE

ENVIRONMENT = "local"
_SQLITE = "sqlite:///"

_TESTS = Path("tests/pipelines")


def write(
    project: Project,
    name: str,
    file: Path,
    label: str,
    task: str,
    table: str,
    say: Callable[[str], None],
    reader_of: Callable[[Project, Path, Callable[[str], None]], DataReader] = DataReader,
    nulls: Sequence[str] = (),
) -> tuple[ColumnPlan, list[Path]]:
    """Writes a pipeline for the data of a file, its test, and its entry in settings.yaml.

    Args:
        label: the column to predict.
        task: one of `column_roles.TASKS`; empty: what the label's values suggest.
        table: of a database; empty: its only one.
        say: hears what takes time.
        reader_of: makes what reads the data.
        nulls: texts in the data that stand for a missing value, besides the empty one.

    Returns:
        What becomes of the columns, and the files that are new or changed.

    Raises:
        PipeyardError: the name is taken, the data can't be read, or nothing can be learned from them. Nothing is
            written then.
    """
    check_name(name, "a pipeline")
    folder, test = project.root / "pipelines" / name, project.root / _TESTS / f"test_{name}.py"
    placement.refuse_taken(folder, test)
    source = replace(source_of(file, table), nulls=tuple(nulls))
    before = (project.root / FILE).read_text(encoding="utf-8")
    entry = {
        "source": _portable(source.location, project.root),
        "serving_uri": "${PROJECT_ROOT}/serving",
        "registry_uri": f"sqlite:///${{PROJECT_ROOT}}/registry/{name}.db",
    }
    settings = settings_entry.added(before, ENVIRONMENT, name, entry)
    with tempfile.TemporaryDirectory() as scratch:
        reader = reader_of(project, Path(scratch), say)
        plan = column_roles.plan(reader.columns(source, label), label, task)
        where = column_roles.condition(label) if plan.label.missing else ""
        schema = reader.schema(source, plan, where)
    contents = {**texts(name, plan, source, where), "schema.pbtxt": schema}
    others = {
        test: rendered("test_pipeline.py.j2", **_names(name), **_place(source.location, project.root)),
        project.root / FILE: settings,
    }
    placement.place(folder, contents, others)
    return plan, [*(folder / each for each in contents), *others]


def texts(name: str, plan: ColumnPlan, source: DataSource, where: str) -> dict[str, str]:
    """Returns `pipeline.py` and `module.py`."""
    told: dict[str, Any] = {
        **_names(name),
        "task": plan.task,
        "label": plan.label.name,
        "label_key": plan.label_key,
        "whole_label": plan.label.type.startswith("int"),
        "mean": float(f"{plan.label.mean:.6g}"),
        "deviation": float(f"{plan.label.deviation:.6g}") or 1.0,
        "numbers": plan.numbers,
        "categories": plan.categories,
        "texts": plan.texts,
        "dates": plan.dates,
        "times": plan.times,
        "left_out": plan.left_out,
        "columns": plan.columns,
        "query": source.query,
        "nulls": literals.of_json(source.null_values) if source.nulls else "",
        "where": where,
        "description": f"Predicts {plan.label.name}.",
    }
    return {each: rendered(f"{each}.j2", **told) for each in ("pipeline.py", "module.py")}


def _names(name: str) -> dict[str, str]:
    return {"name": name, "kfp_name": name.replace("_", "-"), "title": name.replace("_", " ").capitalize()}


def _place(location: str, root: Path) -> dict[str, str]:
    """Returns a location for a test: its path within the project, if it is there, and what is before that."""
    scheme, inside = _split(location, root)
    return {"scheme": scheme, "inside": inside} if inside else {"scheme": location, "inside": ""}


def _portable(location: str, root: Path) -> str:
    """Returns a location by `${PROJECT_ROOT}`, if it is in the project."""
    scheme, inside = _split(location, root)
    return f"{scheme}${{PROJECT_ROOT}}/{inside}" if inside else location


def _split(location: str, root: Path) -> tuple[str, str]:
    """Returns the scheme, and the path within the project; empty if it is elsewhere."""
    path = location.removeprefix(_SQLITE)
    within = f"{root.resolve()}/"
    return location[: len(location) - len(path)], path.removeprefix(within) if path.startswith(within) else ""
