"""Euclidean norms without overflow and underflow: a gradient in any units has a norm in those units."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array

__all__ = ["all_finite", "row_norms", "vector_norm", "vector_norms"]

# A threaded BLAS waits for its threads on long vectors, which costs more than the sum itself.
LONG = 4096
# Squares of norms between these have lost nothing.
LEAST, MOST = 1e-290, 1e290


def vector_norm(v: Array) -> float:
    """Return the Euclidean norm, finite for finite vectors up to the largest float."""
    if v.size < LONG:
        # Unlike the operator, this function says nothing of numbers that overflow.
        square = float(np.vdot(v, v))
        if LEAST < square < MOST:
            return math.sqrt(square)
        if square == 0.0 and not v.any():  # where many a run begins
            return 0.0
    with np.errstate(all="ignore"):
        square = float(np.add.reduce(v * v))
        if LEAST < square < MOST:
            return math.sqrt(square)
        largest = float(np.abs(v).max(initial=0.0))
        if largest == 0.0 or not np.isfinite(largest):
            return largest if not np.isnan(square) else float("nan")
        return largest * float(np.linalg.norm(v / largest))


def vector_norms(rows: Array) -> Array:
    """Return `vector_norm` of every row of an (n, d) array, to the last bit, shape (n,)."""
    if rows.shape[1] == 1:
        return np.abs(rows[:, 0])
    return np.array([vector_norm(row) for row in rows])


def all_finite(v: Array) -> bool:
    """Whether all entries of a vector are finite."""
    if v.size < LONG and math.isfinite(np.vdot(v, v)):
        return True
    return bool(np.isfinite(v).all())


def row_norms(rows: Array) -> Array:
    """Return the norms of the rows of an (n, d) array, shape (n,)."""
    with np.errstate(all="ignore"):
        squares = np.einsum("nd,nd->n", rows, rows)
        norms = np.asarray(np.sqrt(squares))
    for k in np.flatnonzero(~((squares > LEAST) & (squares < MOST))):
        norms[k] = vector_norm(rows[k])
    return norms
