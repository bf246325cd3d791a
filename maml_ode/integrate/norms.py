"""The Euclidean norm without overflow."""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array

__all__ = ["vector_norm"]

# A threaded BLAS waits for its threads on long vectors, which costs more than the sum itself.
LONG = 4096


def vector_norm(v: Array) -> float:
    """Return the Euclidean norm, finite for finite vectors up to the largest float."""
    with np.errstate(all="ignore"):
        square = float(v @ v if v.size < LONG else np.add.reduce(v * v))
        if 1e-290 < square < 1e290:
            return float(np.sqrt(square))
        largest = float(np.abs(v).max(initial=0.0))
        if largest == 0.0 or not np.isfinite(largest):
            return largest if not np.isnan(square) else float("nan")
        return largest * float(np.linalg.norm(v / largest))
