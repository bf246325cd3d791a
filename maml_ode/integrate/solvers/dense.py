"""Dense output of one step."""

from __future__ import annotations

import numpy as np
from scipy.integrate import DenseOutput

from maml_ode._validation import Array

__all__ = ["NestedDenseOutput", "hermite_rows"]


class NestedDenseOutput(DenseOutput):  # type: ignore[misc]
    """The polynomial y_old + x (F_0 + (1 - x) (F_1 + x (F_2 + (1 - x) (F_3 + ...)))), x = (t - t_old)/h.

    F_0 = y_new - y_old makes both ends exact whatever the other rows are.

    Parameters
    ----------
    t_old, t : float
        The ends of the step.
    y_old : ndarray of shape (n,)
        The state at ``t_old``.
    rows : ndarray of shape (k, n)
        F_0, ..., F_{k-1}.
    """

    def __init__(self, t_old: float, t: float, y_old: Array, rows: Array) -> None:
        super().__init__(t_old, t)
        self.h = t - t_old
        self.y_old = y_old
        self.rows = rows

    def _call_impl(self, t: Array) -> Array:
        x = (t - self.t_old) / self.h
        if t.ndim:
            x = x[:, None]
        y = np.zeros((*t.shape, self.y_old.size))
        for number in range(len(self.rows) - 1, -1, -1):
            y += self.rows[number]
            y *= x if number % 2 == 0 else 1.0 - x
        y += self.y_old
        return y.T


def hermite_rows(y_old: Array, y: Array, f_old: Array, f: Array, h: float, count: int = 3) -> Array:
    """Return ``count`` rows whose first three are those of the cubic Hermite polynomial."""
    rows = np.zeros((count, y.size))
    rows[0] = y - y_old
    rows[1] = h * f_old - rows[0]
    rows[2] = 2.0 * rows[0] - h * (f_old + f)
    return rows
