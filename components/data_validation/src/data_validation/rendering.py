"""The report: one HTML page that needs no network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import text_format
from markupsafe import Markup
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from data_validation import checking, schemas, summaries
from data_validation.summaries import Numbers, Summary, Words
from stepkit import report

Summaries = Mapping[str, Mapping[str, Summary]]

_TOP = 5
_BARS = 20
# With more features than that a page would have megabytes: one row of the first split each, and pages of them.
_MANY = 200
# So many features of an anomaly that several have are named.
_NAMED = 60


def page(
    splits: Mapping[str, statistics_pb2.DatasetFeatureStatistics],
    slices: Mapping[str, statistics_pb2.DatasetFeatureStatistics],
    schema: schema_pb2.Schema,
    results: Sequence[checking.Result],
    notes: Sequence[str],
) -> str:
    """Returns the report.

    Args:
        splits: statistics by split.
        slices: statistics by `<split>/<slice>`.
        notes: what else a reader should know, in sentences.
    """
    found = {split: summaries.of_dataset(statistics) for split, statistics in splits.items()}
    names = list(dict.fromkeys(name for features in found.values() for name in features))
    known = set(schemas.kinds(schema))
    numeric = [name for name in names if any(isinstance(_values(found, split, name), Numbers) for split in found)]
    other = [name for name in names if name not in numeric]
    sections = [
        report.Section("Anomalies", _anomalies(results)),
        report.Section("Data", _data(splits, notes)),
    ]
    if numeric:
        sections.append(report.Section("Numeric features", _numeric(found, numeric, known)))
    if other:
        sections.append(report.Section("Categorical features", _categorical(found, other, known)))
    distances = [distance for result in results for distance in result.distances]
    if distances:
        sections.append(report.Section("Drift and skew", _distances(distances)))
    if slices:
        sections.append(report.Section("Slices", _slices(splits, slices)))
    sections.append(report.Section("Schema", _schema(schema)))
    return report.page("Data validation", sections)


def _anomalies(results: Sequence[checking.Result]) -> Markup:
    findings = [found for result in results for found in result.findings]
    if not findings:
        return Markup('<p class="good">No anomalies: the data fits the schema.</p>')
    alike: dict[tuple[str, ...], list[str]] = {}
    for found in findings:
        what = (found.check, found.split, found.kind, found.problem, found.remedy)
        alike.setdefault(what, []).append(found.feature or "(the whole split)")
    rows = [
        [check, split, _mark("bad", _named(features)), problem, remedy]
        for (check, split, _, problem, remedy), features in alike.items()
    ]
    number = len(findings)
    return Markup('<p class="bad">{} {}: the data is not valid.</p>').format(
        number, "anomaly" if number == 1 else "anomalies"
    ) + report.paged_table(["Check", "Split", "Feature", "Problem", "Remedy"], rows)


def _named(features: Sequence[str]) -> str:
    more = len(features) - _NAMED
    return ", ".join(features[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _data(splits: Mapping[str, statistics_pb2.DatasetFeatureStatistics], notes: Sequence[str]) -> Markup:
    rows = [
        [_legend(index, name), int(statistics.num_examples), len(statistics.features)]
        for index, (name, statistics) in enumerate(splits.items())
    ]
    items = Markup("").join(Markup("<li>{}</li>").format(note) for note in notes)
    return report.table(["Split", "Rows", "Columns"], rows) + Markup("<ul>{}</ul>").format(items)


def _numeric(found: Summaries, names: Sequence[str], known: set[str]) -> Markup:
    having_nan = any(isinstance(of, Numbers) and of.nan for of in (_values(found, s, n) for s in found for n in names))
    measures = [*(["NaN"] if having_nan else []), "Mean", "Std", "Zeros", "Min", "Median", "Max"]
    if len(names) > _MANY:
        return _many_numeric(found, names, known)
    rows = []
    for name in names:
        for first, split, summary in _each(found, name):
            values = summary.values
            cells: list[Any] = [*_lead(found, first, name, known, _histogram), _split(found, split), *_counts(summary)]
            if isinstance(values, Numbers):
                cells += [values.nan] if having_nan else []
                cells += [values.mean, values.deviation, _portion(values.zeros, summary.count)]
                cells += [values.least, values.median, values.most]
            else:
                cells += [None] * len(measures)
            rows.append(cells)
    # The widest table: 12 columns have to fit the page.
    table = report.table(["Feature", "Distribution", "Split", "Count", "Missing", *measures], rows)
    return Markup('<div style="font-size: 12px; overflow-x: auto">{}</div>').format(table)


def _many_numeric(found: Summaries, names: Sequence[str], known: set[str]) -> Markup:
    rows = []
    for name in names:
        _, split, summary = _each(found, name)[0]
        values = summary.values
        cells: list[Any] = [_noted(name, known), "", split, summary.count, summary.missing, *[None] * 4]
        if isinstance(values, Numbers):
            cells[1] = report.shape({split: values.shares})
            cells[5:] = [values.mean, values.deviation, values.least, values.most]
        rows.append(cells)
    headers = ["Feature", "Distribution", "Split", "Count", "Missing", "Mean", "Std", "Min", "Max"]
    return _ONE_SPLIT + report.paged_table(headers, rows)


def _many_categorical(found: Summaries, names: Sequence[str], known: set[str]) -> Markup:
    rows = []
    for name in names:
        _, split, summary = _each(found, name)[0]
        values = summary.values
        top = (
            ", ".join(f"{value[:40]} {share:.1%}" for value, share in values.top[:3])
            if isinstance(values, Words)
            else ""
        )
        unique = values.unique if isinstance(values, Words) else None
        rows.append([_noted(name, known), split, summary.count, summary.missing, unique, top])
    return _ONE_SPLIT + report.paged_table(["Feature", "Split", "Count", "Missing", "Unique", "Top values"], rows)


def _noted(name: str, known: set[str]) -> str:
    return name if name in known else f"{name} (not in the schema)"


_ONE_SPLIT = Markup(
    '<p class="quiet">Of so many features the first split that has each is shown; all are in the output statistics.</p>'
)


def _categorical(found: Summaries, names: Sequence[str], known: set[str]) -> Markup:
    if len(names) > _MANY:
        return _many_categorical(found, names, known)
    rows = []
    for name in names:
        for first, split, summary in _each(found, name):
            values = summary.values
            cells: list[Any] = [*_lead(found, first, name, known, _bars), _split(found, split), *_counts(summary)]
            if isinstance(values, Words):
                top = ", ".join(f"{value or '(empty)'} {share:.1%}" for value, share in values.top[:_TOP])
                cells += [values.unique, top]
            else:
                cells += [None, None]
            rows.append(cells)
    return report.table(["Feature", "Distribution", "Split", "Count", "Missing", "Unique", "Top values"], rows)


def _distances(distances: Sequence[checking.Distance]) -> Markup:
    rows = [
        [
            distance.check,
            distance.split,
            distance.feature,
            distance.measure,
            distance.value,
            distance.threshold,
            _mark("bad", "exceeded") if distance.exceeded else _mark("good", "within"),
        ]
        for distance in sorted(distances, key=lambda each: (each.check, each.split, each.feature))
    ]
    return report.paged_table(["Check", "Split", "Feature", "Measure", "Distance", "Threshold", ""], rows, _MANY)


def _slices(
    splits: Mapping[str, statistics_pb2.DatasetFeatureStatistics],
    slices: Mapping[str, statistics_pb2.DatasetFeatureStatistics],
) -> Markup:
    rows, details = [], []
    for key, statistics in slices.items():
        split, _, name = key.partition("/")
        rows.append([split, name, _portion(int(statistics.num_examples), int(splits[split].num_examples))])
        for summary in summaries.of_dataset(statistics).values():
            values = summary.values
            typical = {Numbers: lambda of: of.mean, Words: lambda of: f"{of.top[0][0]} {of.top[0][1]:.1%}"}
            shown = typical[type(values)](values) if values else None
            details.append([split, name, summary.name, *_counts(summary), shown])
    inner = report.table(["Split", "Slice", "Feature", "Count", "Missing", "Mean or most frequent"], details)
    return report.table(["Split", "Slice", "Rows"], rows) + _details("Features by slice", inner)


def _schema(schema: schema_pb2.Schema) -> Markup:
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    rows = []
    for feature in schema.feature:
        presence = feature.presence.min_fraction
        required = "always" if presence == 1.0 else f"in {presence:.0%}" if presence else "optional"
        rows.append(
            [
                feature.name,
                schema_pb2.FeatureType.Name(feature.type),
                required,
                _domain(feature, domains),
                ", ".join(f"not {name}" for name in feature.not_in_environment) or ", ".join(feature.in_environment),
            ]
        )
    table = report.paged_table(["Feature", "Type", "Presence", "Domain", "Environments"], rows)
    if len(rows) > _MANY:
        return table  # the text, which is longer than all else, is the output schema
    return table + _details("schema.pbtxt", Markup("<pre>{}</pre>").format(text_format.MessageToString(schema)))


def _domain(feature: schema_pb2.Feature, domains: Mapping[str, Sequence[str]]) -> str | None:
    which = feature.WhichOneof("domain_info")
    if which in ("int_domain", "float_domain"):
        limits = getattr(feature, which)
        low = f"{limits.min:g}" if limits.HasField("min") else "any"
        high = f"{limits.max:g}" if limits.HasField("max") else "any"
        return f"{low} to {high}"
    values = domains.get(feature.domain, ()) if which == "domain" else feature.string_domain.value
    if not values:
        return None
    return ", ".join(values[:12]) + (f" and {len(values) - 12} more" if len(values) > 12 else "")


def _each(found: Summaries, name: str) -> list[tuple[bool, str, Summary]]:
    having = [(split, features[name]) for split, features in found.items() if name in features]
    return [(index == 0, split, summary) for index, (split, summary) in enumerate(having)]


def _lead(
    found: Summaries, first: bool, name: str, known: set[str], draw: Callable[[Summaries, str], Markup]
) -> list[Any]:
    if not first:
        return ["", ""]
    kinds = list(dict.fromkeys(features[name].kind for features in found.values() if name in features))
    note = " or ".join(kinds) + ("" if name in known else ", not in the schema")
    return [Markup('<b>{}</b><br><span class="quiet">{}</span>').format(name, note), draw(found, name)]


def _counts(summary: Summary) -> list[Any]:
    total = summary.count + summary.missing
    missing = _portion(summary.missing, total)
    return [summary.count, _mark("bad", f"all {total:,}") if total and summary.missing == total else missing]


def _portion(part: int, whole: int) -> Markup:
    text = f"{part:,} ({part / whole:.1%})" if part and whole else f"{part:,}"
    return Markup('<span style="white-space: nowrap">{}</span>').format(text)


def _histogram(found: Summaries, name: str) -> Markup:
    series = {}
    for split in found:
        values = _values(found, split, name)
        series[split] = (values.edges, values.shares) if isinstance(values, Numbers) else ((), ())
    return report.sparkline(series)


def _bars(found: Summaries, name: str) -> Markup:
    by_split = {split: _values(found, split, name) for split in found}
    ranked = [values.ranked for values in by_split.values() if isinstance(values, Words)]
    labels = list(dict.fromkeys(label for shares in ranked for label in list(shares)[:_BARS]))[:_BARS]
    edges = [float(position) for position in range(len(labels) + 1)]
    return report.sparkline(
        {
            split: (edges, [values.ranked.get(label, 0.0) for label in labels])
            if isinstance(values, Words)
            else ((), ())
            for split, values in by_split.items()
        }
    )


def _values(found: Summaries, split: str, name: str) -> Numbers | Words | None:
    return found[split][name].values if name in found[split] else None


def _split(found: Summaries, split: str) -> Markup:
    return _legend(list(found).index(split), split)


def _legend(index: int, name: str) -> Markup:
    return Markup('<span style="white-space: nowrap"><span style="color: {}">&#9632;</span> {}</span>').format(
        report.COLORS[index % len(report.COLORS)], name
    )


def _mark(style: str, text: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format(style, text)


def _details(title: str, inner: Markup) -> Markup:
    return Markup("<details><summary>{}</summary>{}</details>").format(title, inner)
