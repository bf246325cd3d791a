"""Least-squares losses by their data rather than by the products X'X that lose a part of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from maml_ode._validation import Array

__all__ = ["LeastSquares"]

# Rows factored at a time: sparse samples become dense in pieces of this many rows.
PIECE = 4096


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Losses f_i(w) = s_i ||y_i - X_i w||^2.

    Attributes
    ----------
    samples : tuple of ndarray or csr_array
        X_i, shape (n_i, d).
    targets : tuple of ndarray
        y_i, shape (n_i,).
    scales : ndarray of shape (M,)
        s_i.
    """

    samples: tuple[Any, ...]
    targets: tuple[Array, ...]
    scales: Array

    @cached_property
    def reduced(self) -> tuple[tuple[Array, Array], ...]:
        """R_i (m, d) and t_i (m,) of the same losses with m = min(n_i, d + 1) rows.

        An orthogonal transformation of the rows: every column keeps its own relative accuracy, whatever the
        others' size.
        """
        return tuple(_reduced(X, y) for X, y in zip(self.samples, self.targets, strict=True))


def _reduced(X: Any, y: Array) -> tuple[Array, Array]:
    n, d = X.shape
    rows = np.empty((0, d + 1))
    step = max(PIECE, d + 1)
    for start in range(0, n, step):
        piece = X[start : start + step]
        dense = piece if isinstance(piece, np.ndarray) else piece.toarray()
        rows = np.vstack([rows, np.column_stack([dense, y[start : start + step]])])
        if rows.shape[0] > d + 1:
            rows = np.asarray(np.linalg.qr(rows, mode="r"))
    return np.ascontiguousarray(rows[:, :d]), np.ascontiguousarray(rows[:, d])
