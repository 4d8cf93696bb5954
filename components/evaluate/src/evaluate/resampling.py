"""Samples of rows that confidence intervals are made of: which rows each of them has.

A jackknife of TFMA puts rows into 20 buckets by chance and sees how metrics change when one is left out; a Poisson
bootstrap has 20 samples in each of which a row is as often as chance says. What 20 samples say of a standard error is
itself off by a sixth, so there are several rounds of them, whose variances are averaged. Slices, of which there may be
many, have the first round alone.
"""

import zlib

import numpy as np

JACKKNIFE, BOOTSTRAP = "jackknife", "poisson_bootstrap"
METHODS = (JACKKNIFE, BOOTSTRAP)
# TFMA's number, of which its intervals' degrees of freedom follow.
SAMPLES = 20
# Brings the error of a standard error down to a fourteenth.
ROUNDS = 5


def rows_of_samples(method: str, labels: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of each sample, round after round, as positions (int64); a row may be there more than once.

    Chance is seeded by the rows' labels (serialized rows differ between processes), so that equal runs give equal
    results. A jackknife's samples are its buckets: what is left out together.
    """
    rows = len(labels)
    chance = np.random.default_rng([rows, zlib.crc32(labels.tobytes())])
    if method == BOOTSTRAP:
        every = np.arange(rows)
        return [np.repeat(every, chance.poisson(1, rows)) for _ in range(ROUNDS * SAMPLES)]
    found = []
    for _ in range(ROUNDS):
        # As even as can be, and which bucket has one more is chance as well: files may have few rows.
        buckets = chance.permutation((np.arange(rows) + chance.integers(SAMPLES)) % SAMPLES)
        found += [np.flatnonzero(buckets == number) for number in range(SAMPLES)]
    return found
