"""The tables, in the order of README.md."""

from benchmarks.table import Table
from benchmarks.tables import (
    batch_predict,
    catalog,
    evaluate,
    growth,
    images,
    local_runs,
    model_server,
    records,
    statistics,
    train_input,
    trainers,
    transform,
    triggers,
    whole_pipeline,
    wide_table,
)

TABLES: dict[str, Table] = {
    module.TABLE.name: module.TABLE
    for module in (
        whole_pipeline,
        wide_table,
        statistics,
        transform,
        train_input,
        trainers,
        evaluate,
        batch_predict,
        model_server,
        growth,
        local_runs,
        records,
        images,
        triggers,
        catalog,
    )
}
