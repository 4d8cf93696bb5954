"""The raw columns that a served model's signature takes.

Needs numpy, which comes with TensorFlow, and the extra `schema`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np  # pylint: disable=import-error

from stepkit.schemas import MISSING

FLOAT, INT, BYTES = "FLOAT", "INT", "BYTES"


@dataclass(frozen=True)
class Column:
    """A raw column.

    Attributes:
        name: as it is in the data.
        argument: what the signature calls it.
        dtype: of the signature's tensor; object for text.
        shape: of a row: (1,) one value; (3,) three; (None,) as many as there are.
        required: a row without it can't be answered.
    """

    name: str
    argument: str
    dtype: np.dtype
    shape: tuple[int | None, ...] = (1,)
    required: bool = False

    @property
    def kind(self) -> str:
        """`FLOAT`, `INT` or `BYTES`."""
        return {"f": FLOAT, "i": INT, "u": INT, "O": BYTES}[self.dtype.kind]

    @property
    def is_single(self) -> bool:
        """One value a row."""
        return self.shape == (1,)

    @property
    def missing(self) -> Any:
        """What stands for a missing value."""
        return MISSING[self.kind]
