"""The data that come with the package: Diabetes and the digits, as scikit-learn returns them.

Where they are from and under which terms stands in ``data/LICENSE.txt``. Read from here, they need neither
scikit-learn, whose import takes longer than the experiments' runs, nor its way of scaling columns.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, freeze

__all__ = ["DIABETES_COLUMNS", "diabetes", "digits"]

DIABETES_COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")

_FOLDER = Path(__file__).parent / "data"


@lru_cache(maxsize=1)
def diabetes() -> tuple[Array, Array]:
    """Return the scaled columns, shape (442, 10), and the raw target, shape (442,); read-only."""
    with np.load(_FOLDER / "diabetes.npz", allow_pickle=False) as file:
        return freeze(file["data"]), freeze(file["target"])


@lru_cache(maxsize=1)
def digits() -> tuple[Array, npt.NDArray[np.int64]]:
    """Return grey levels 0 to 16, shape (1797, 8, 8), and labels, shape (1797,); read-only."""
    with np.load(_FOLDER / "digits.npz", allow_pickle=False) as file:
        labels = file["target"].astype(np.int64)
        labels.flags.writeable = False
        return freeze(file["images"].astype(np.float64)), labels
