"""The Euclidean norm without overflow, and finiteness, for the short vectors of every step."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array

__all__ = ["all_finite", "vector_norm"]

# A threaded BLAS waits for its threads on long vectors, which costs more than the sum itself.
LONG = 4096


def vector_norm(v: Array) -> float:
    """Return the Euclidean norm, finite for finite vectors up to the largest float."""
    # Unlike an operator, the method sets no floating-point warnings, so that there is nothing to silence.
    square = float(v.dot(v)) if v.size < LONG else math.nan
    if 1e-290 < square < 1e290:
        return math.sqrt(square)
    with np.errstate(all="ignore"):
        if v.size >= LONG:
            square = float(np.add.reduce(v * v))
            if 1e-290 < square < 1e290:
                return math.sqrt(square)
        largest = float(np.abs(v).max()) if v.size else 0.0
        if largest == 0.0 or not np.isfinite(largest):
            return largest if not np.isnan(square) else float("nan")
        return largest * float(np.linalg.norm(v / largest))


def all_finite(v: Array) -> bool:
    """Whether all entries of a vector are finite."""
    return (v.size < LONG and math.isfinite(v.dot(v))) or bool(np.isfinite(v).all())
