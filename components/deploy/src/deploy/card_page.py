"""The model card as a page: one HTML file that needs no network and no script but that of long tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from stepkit import report

_WORDS = {
    "users": "Intended users",
    "use_cases": "Intended use",
    "limitations": "Limitations",
    "tradeoffs": "Trade-offs",
    "ethical_considerations": "Ethical considerations",
}
# More slices make a table that isn't read; all are in the JSON.
_SLICES = 200


def render(card: Mapping[str, Any]) -> str:
    """Returns the page of a card (see `model_card.compose`)."""
    details, quantitative = card["model_details"], card["quantitative_analysis"]
    sections = [report.Section("Model", _details(details, card["model_parameters"]))]
    sections.append(report.Section("Intended use and limits", _considerations(card["considerations"])))
    sections.append(report.Section("Quality", _performance(quantitative)))
    if gaps := quantitative.get("slice_gaps"):
        sections.append(report.Section("Gaps between slices", _gaps(gaps)))
    if found := quantitative.get("permutation_importance"):
        sections.append(report.Section("What the model looks at", _importance(found)))
    sections.append(report.Section("Data", _data(card["model_parameters"])))
    sections.append(report.Section("Lineage", _lineage(details["lineage"])))
    if details["not_known"]:
        sections.append(report.Section("Not known", _list(details["not_known"])))
    return report.page(f"Model card of {details['name']}", sections)


def _list(items: Sequence[Any]) -> Markup:
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(item) for item in items))


def _said(item: Mapping[str, str]) -> str:
    return ", ".join(f"mitigation: {text}" if key == "mitigation_strategy" else text for key, text in item.items())


def _details(details: Mapping[str, Any], parameters: Mapping[str, Any]) -> Markup:
    overview = Markup("<p>{}</p>").format(details["overview"]) if "overview" in details else Markup()
    overview += Markup("<p>{}</p>").format(details["documentation"]) if "documentation" in details else Markup()
    facts = {"Task": parameters.get("task"), "Predicts": parameters.get("label")}
    facts["Classes"] = ", ".join(map(str, parameters.get("classes", [])))
    facts |= {"Weight": parameters.get("weight"), "Takes": parameters.get("input_format")}
    facts["Answers"] = parameters.get("output_format")
    for key in ("owners", "licenses", "references", "citations"):
        facts[key.capitalize()] = "; ".join(map(_said, details.get(key, [])))
    table = report.table(["", ""], [[name, value] for name, value in facts.items() if value])
    if renamed := parameters.get("arguments"):
        table += Markup("<p>Columns whose argument in a request is called otherwise:</p>")
        table += report.table(["Column", "Argument"], list(renamed.items()))
    return overview + table


def _considerations(declared: Mapping[str, Any]) -> Markup:
    if not declared:
        return Markup("<p>None were declared.</p>")
    return Markup("").join(
        Markup("<h3>{}</h3>{}").format(_WORDS[key], _list(list(map(_said, items)))) for key, items in declared.items()
    )


def _performance(quantitative: Mapping[str, Any]) -> Markup:
    by_slice: dict[str, dict[str, Mapping[str, Any]]] = {}
    for each in quantitative["performance_metrics"]:
        by_slice.setdefault(each.get("slice", "overall"), {})[each["type"]] = each
    names = list(by_slice.get("overall", {}))
    rows = [[label, *(_measured(found.get(name)) for name in names)] for label, found in by_slice.items()]
    split = quantitative.get("split")
    intro = Markup("<p>On split {}.</p>").format(split) if split else Markup()
    hidden = len(rows) - 1 - _SLICES
    more = Markup("<p>{:,} more slices are in the JSON.</p>").format(hidden) if hidden > 0 else Markup()
    point = quantitative.get("operating_point", {}).get("threshold")
    if point is not None:
        more += Markup("<p>Operating point: scores above {} say yes.</p>").format(report.show(point))
    return intro + report.paged_table(["Slice", *names], rows[: _SLICES + 1]) + more


def _measured(each: Mapping[str, Any] | None) -> Any:
    if each is None or "confidence_interval" not in each:
        return each["value"] if each else None
    low, high = (report.show(each["confidence_interval"][f"{side}_bound"]) for side in ("lower", "upper"))
    return f"{report.show(each['value'])} ({low} to {high})"


def _gaps(gaps: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        [gap["metric"], gap["features"], gap["gap"], *(_end(gap[side]) for side in ("highest", "lowest"))]
        for gap in gaps
    ]
    return report.table(["Metric", "Slices by", "Gap", "Highest", "Lowest"], rows)


def _end(end: Mapping[str, Any]) -> str:
    return f"{end['slice']}: {report.show(end['value'])} ({end['examples']:,} examples)"


def _importance(found: Mapping[str, Any]) -> Markup:
    intro = Markup("<p>How much the {} rises when a raw column's values are given to other rows of {:,}.</p>").format(
        found["loss"], found["rows"]
    )
    top = max((abs(each["mean"]) for each in found["columns"]), default=0.0)
    rows = [
        [each["column"], each["mean"], each["spread"], report.bar(max(each["mean"], 0.0) / top if top else 0.0)]
        for each in found["columns"]
    ]
    return intro + report.paged_table(["Raw column", "Rise", "Standard deviation", ""], rows)


def _data(parameters: Mapping[str, Any]) -> Markup:
    splits = report.table(["Split", ""], [[each["name"], each.get("description")] for each in parameters["data"]])
    statistics = parameters.get("statistics")
    if not statistics:
        return splits
    names = ("name", "type", "missing", "mean", "std_dev", "min", "max", "distinct")
    rows = [[_cell(name, column.get(name)) for name in names] for column in statistics["columns"]]
    heads = ["Column", "Type", "Missing", "Mean", "Standard deviation", "Lowest", "Highest", "Distinct values"]
    intro = Markup("<p>Columns of split {}, {:,} rows:</p>").format(statistics["split"], statistics["rows"])
    return splits + intro + report.paged_table(heads, rows)


def _cell(name: str, value: Any) -> Any:
    return f"{value:.1%}" if name == "missing" and value is not None else value


def _lineage(lineage: Mapping[str, Any]) -> Markup:
    words = {"run_id": "Run", "commit": "Commit", "model_digest": "Model", "schema_digest": "Schema"}
    words |= {"examples_digest": "Manifest of the examples"}
    rows = [[words.get(key, key), value] for key, value in lineage.items() if key != "images"]
    rows += [[f"Image of {name}", image] for name, image in lineage.get("images", {}).items()]
    return report.table(["", ""], rows)
