"""Coefficients of Runge-Kutta and Rosenbrock methods, and the pair of Tsitouras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maml_ode._validation import Array

__all__ = ["TSIT5", "ExplicitTableau", "RosenbrockTableau", "lower_triangular"]


@dataclass(frozen=True, eq=False)
class ExplicitTableau:
    """An explicit Runge-Kutta pair whose last stage is the new state, with its interpolant.

    Attributes
    ----------
    order : int
        Order p of the formula that is advanced.
    A : ndarray of shape (r, r)
        Stage coefficients; row ``n_stages - 1`` is the formula b itself.
    c : ndarray of shape (r,)
        Stage times; stages from ``n_stages`` on serve only the interpolant.
    n_stages : int
        Stages of a step, with the one at the new state.
    error : ndarray of shape (n_stages,)
        b minus the embedded formula, or its negative.
    dense : ndarray of shape (k, r)
        F_1, ..., F_k of the interpolant per unit of h K; see `NestedDenseOutput`.
    """

    order: int
    A: Array
    c: Array
    n_stages: int
    error: Array
    dense: Array

    def weights(self, x: float) -> Array:
        """Return b(x), the interpolant's weights: y(t + x h) = y + h sum_i b_i(x) K_i."""
        nested = np.zeros(len(self.c))
        rows = np.vstack([self.A[self.n_stages - 1], self.dense])
        for number in range(len(rows) - 1, -1, -1):
            nested = (nested + rows[number]) * (x if number % 2 == 0 else 1.0 - x)
        return nested


@dataclass(frozen=True, eq=False)
class RosenbrockTableau:
    """A Rosenbrock method in the form that needs no product with the Jacobian.

    (I - gamma h J) U_i = gamma h (f(t + c_i h, y + sum_j a_ij U_j) + sum_j C_ij U_j / h + d_i h f_t),
    y_new = y + sum_j m_j U_j, and the last U is the error estimate (Hairer and Wanner II, section IV.7).

    Attributes
    ----------
    order : int
        Order p of the formula that is advanced; the embedded one has p - 1.
    gamma : float
    A, C : ndarray of shape (s, s)
        Strictly lower triangular.
    c, d : ndarray of shape (s,)
        Stage times and weights of the time derivative.
    m : ndarray of shape (s,)
    dense : ndarray of shape (k, s)
        F_1, ..., F_k of the interpolant per unit of U; see `NestedDenseOutput`.
    """

    order: int
    gamma: float
    A: Array
    C: Array
    c: Array
    d: Array
    m: Array
    dense: Array


def lower_triangular(rows: list[list[float]]) -> Array:
    """Return the strictly lower triangular matrix whose row i + 1 starts with ``rows[i]``."""
    size = len(rows) + 1
    matrix = np.zeros((size, size))
    for number, row in enumerate(rows, start=1):
        matrix[number, : len(row)] = row
    return matrix


# Tsitouras, "Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption",
# Computers and Mathematics with Applications 62 (2011) 770-775, DOI 10.1016/j.camwa.2011.06.002.
_TSIT5_A = lower_triangular(
    [
        [0.161],
        [-0.008480655492356989, 0.335480655492357],
        [2.8971530571054935, -6.359448489975075, 4.3622954328695815],
        [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525],
        [
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
        ],
        [
            0.09646076681806523,
            0.01,
            0.4798896504144996,
            1.379008574103742,
            -3.290069515436081,
            2.324710524099774,
        ],
    ]
)
_TSIT5_ERROR = np.array(
    [
        0.00178001105222577714,
        0.0008164344596567469,
        -0.007880878010261995,
        0.1447110071732629,
        -0.5823571654525552,
        0.45808210592918697,
        -1.0 / 66.0,
    ]
)
# b_i(x) / x = p_i0 + p_i1 x + p_i2 x^2 + p_i3 x^3; only b_1 has p_i0 = 1.
_TSIT5_POWERS = np.array(
    [
        [-2.763706197274826, 2.9132554618219126, -1.0530884977290216],
        [0.1317, -0.2234, 0.1017],
        [3.9302962368947516, -5.941033872131505, 2.490627285651253],
        [-12.411077166933676, 30.33818863028232, -16.548102889244902],
        [37.50931341651104, -88.1789048947664, 47.37952196281928],
        [-27.896526289197286, 65.09189467479366, -34.87065786149661],
        [1.5, -4.0, 2.5],
    ]
).T
TSIT5 = ExplicitTableau(
    order=5,
    A=_TSIT5_A,
    c=np.array([0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0]),
    n_stages=7,
    error=_TSIT5_ERROR,
    dense=np.array(
        [
            -_TSIT5_POWERS.sum(axis=0),
            -(_TSIT5_POWERS[1] + 2.0 * _TSIT5_POWERS[2]),
            _TSIT5_POWERS[2],
        ]
    ),
)
