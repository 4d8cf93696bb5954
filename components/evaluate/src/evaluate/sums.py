"""Sums of rows by key, where few of all possible keys occur."""

import numpy as np

# Up to so many cells a row, counting into an array of all cells is faster than sorting.
_DENSE = 16


class Sums:
    """Terms summed by key, of as many rows as come; memory grows with the distinct keys alone."""

    def __init__(self, terms: int) -> None:
        self._keys = np.empty(0, np.int64)
        self._totals = np.empty((0, terms))
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, keys: np.ndarray, terms: np.ndarray) -> None:
        """Adds rows.

        Args:
            keys: int64 [rows], not negative.
            terms: float64 [rows, terms].
        """
        self._pending.append(_total(keys, terms))
        # What is merged at a time is as much as there is, so that each row is merged a bounded number of times.
        if sum(len(found) for found, _ in self._pending) >= len(self._keys):
            self.totals()

    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the keys (int64 [n], rising) and their sums (float64 [n, terms])."""
        if self._pending:
            keys = np.concatenate([self._keys, *(found for found, _ in self._pending)])
            terms = np.concatenate([self._totals, *(found for _, found in self._pending)])
            self._pending = []
            self._keys, self._totals = _total(keys, terms)
        return self._keys, self._totals


def _total(keys: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    span = int(keys.max(initial=-1)) + 1
    if span <= _DENSE * len(keys):
        present = np.flatnonzero(np.bincount(keys, minlength=span))
        totals = [np.bincount(keys, column, span)[present] for column in terms.T]
    else:
        present, inverse = np.unique(keys, return_inverse=True)
        totals = [np.bincount(inverse, column, len(present)) for column in terms.T]
    return present, np.stack(totals, axis=1)
