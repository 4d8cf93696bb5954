"""The features of pipelines/flights/module.py in polars, to Parquet: what the machine can do at best.

Runs in the environment of peers/dataframes. Takes extract's examples and a folder to write to.
"""

import sys
from pathlib import Path

import polars as pl

DENSE = ["distance", "sched_dep_time", "sched_arr_time"]
BUCKETED = {"dep_delay": 20, "distance": 10}
VOCABULARIES = {"carrier": 32, "origin": 8, "dest": 128}
CATEGORIES = {"month": 13, "day": 32, "hour": 24}

examples, target = map(Path, sys.argv[1:])


def read(name: str) -> pl.DataFrame:
    return pl.read_parquet(examples / name / "*.parquet")


def z_score(column: pl.Series | pl.Expr, mean: float, deviation: float) -> pl.Series | pl.Expr:
    return ((column - mean) / deviation).cast(pl.Float32)


def delay_log(name: str) -> pl.Expr:
    return pl.col(name).sign() * (pl.col(name).abs() + 1).log()


train = read("train")
delays = train.select(delay_log("dep_delay"))["dep_delay"]
expressions = [z_score(pl.col(name), train[name].mean(), train[name].std()).alias(f"{name}_z") for name in DENSE]
expressions.append(z_score(delay_log("dep_delay"), delays.mean(), delays.std()).alias("dep_delay_log"))
for feature, buckets in BUCKETED.items():
    edges = sorted({train[feature].quantile(k / buckets) for k in range(1, buckets)})
    expressions.append(pl.col(feature).cut(edges).to_physical().alias(f"{feature}_bucket"))
for feature, top in VOCABULARIES.items():
    words = train[feature].value_counts(sort=True).head(top)[feature].to_list()
    index = pl.col(feature).replace_strict(words, list(range(len(words))), default=len(words), return_dtype=pl.Int64)
    expressions.append(index.alias(f"{feature}_id"))
expressions.append((pl.col("tailnum").fill_null("").hash() % 512).alias("tailnum_hash"))
expressions += [pl.col(feature).clip(0, size - 1).alias(f"{feature}_id") for feature, size in CATEGORIES.items()]
expressions.append((pl.col("arr_delay") > 15).cast(pl.Int64).alias("late"))
for split in ("train", "eval"):
    read(split).select(expressions).write_parquet(target / f"{split}.parquet")
