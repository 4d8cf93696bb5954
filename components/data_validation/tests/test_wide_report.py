"""Of a thousand columns, too, a report can be read and sent."""

import re

import numpy as np
import pyarrow as pa
from conftest import write_examples


def test_a_report_of_a_thousand_columns_is_small_and_groups_what_is_alike(step, tmp_path):
    random = np.random.default_rng(3)
    names = [f"sparse<column>{number}" for number in range(1000)]
    tables = {
        split: pa.table({name: pa.array(random.normal(size=rows), mask=random.random(rows) > 0.2) for name in names})
        for split, rows in {"train": 300, "eval": 60, "test": 60}.items()
    }
    tables["eval"] = tables["eval"].drop(names[:300])
    outcome = step(write_examples(tmp_path / "wide", {split: [table] for split, table in tables.items()}))
    assert outcome.parameters["anomaly_count"] == 300
    page = outcome.report
    assert len(page.encode()) < 1_000_000
    assert page.count("The column is in the schema but not in the data.") == 1
    assert "and 240 more" in page
    assert page.count('type="search"') == 2  # features and schema
    assert all(page.count(f"<td>sparse&lt;column&gt;{number}</td>") == 2 for number in range(1000))
    assert not re.search(r"src=|@import|<link|url\(http", page)
