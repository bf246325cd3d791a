"""Stages of the second-order Runge-Kutta-Chebyshev method.

With Chebyshev polynomials T_j, b_j = T_j''(w0) / T_j'(w0)^2, a_j = 1 - b_j T_j(w0), w0 = 1 + damping/s^2 and
w1 = T_s'(w0)/T_s''(w0), the stages obey a three-term recurrence whose coefficients this module tabulates: row j of
the table is (mu_j, nu_j, mu~_j, gamma~_j, c_j).
"""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import shared
from maml_ode.compiled.fields import FIELD, evaluate
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.solvers.kernels.norms import weighted_rms as weighted_rms


@shared(MATRIX(INDEX, REAL))
def coefficients(s, damping):
    """Return the (s + 1, 5) table of the s-stage method, s >= 2."""
    w0 = 1.0 + damping / s**2
    T = np.ones(s + 1)
    T1 = np.zeros(s + 1)
    T2 = np.zeros(s + 1)
    T[1] = w0
    T1[1] = 1.0
    for j in range(2, s + 1):
        T[j] = 2.0 * w0 * T[j - 1] - T[j - 2]
        T1[j] = 2.0 * T[j - 1] + 2.0 * w0 * T1[j - 1] - T1[j - 2]
        T2[j] = 4.0 * T1[j - 1] + 2.0 * w0 * T2[j - 1] - T2[j - 2]
    w1 = T1[s] / T2[s]
    b = np.empty(s + 1)
    for j in range(2, s + 1):
        b[j] = T2[j] / T1[j] ** 2
    b[0] = b[2]
    b[1] = b[2]
    table = np.zeros((s + 1, 5))
    table[1, 2] = b[1] * w1
    for j in range(2, s + 1):
        table[j, 0] = 2.0 * b[j] * w0 / b[j - 1]
        table[j, 1] = -b[j] / b[j - 2]
        table[j, 2] = 2.0 * b[j] * w1 / b[j - 1]
        table[j, 3] = -(1.0 - b[j - 1] * T[j - 1]) * table[j, 2]
        table[j, 4] = w1 * T2[j] / T1[j]
    table[1, 4] = table[2, 4] / T1[2]
    table[s, 4] = 1.0
    return table


@shared(types.void(INDEX, MATRIX, VECTOR, VECTOR, REAL, VECTOR, VECTOR, VECTOR, VECTOR))
def stage_state(j, table, y, f, h, before, last, derivative, out):
    """Fill out = Y_j from Y_{j-2} (before), Y_{j-1} (last) and f(Y_{j-1}) (derivative)."""
    if j == 1:
        for k in range(y.size):
            out[k] = y[k] + h * table[1, 2] * f[k]
        return
    mu, nu, step, correction = table[j, 0], table[j, 1], table[j, 2], table[j, 3]
    for k in range(y.size):
        out[k] = (
            (1.0 - mu - nu) * y[k]
            + mu * last[k]
            + nu * before[k]
            + h * (step * derivative[k] + correction * f[k])
        )


@shared(types.void(FIELD, MATRIX, VECTOR, VECTOR, REAL, VECTOR, VECTOR))
def native_step(field, table, y, f, h, out, derivative):
    """Fill out = the new state and derivative = the field there: s evaluations."""
    s = table.shape[0] - 1
    before = np.empty(y.size)
    last = y.copy()
    state = np.empty(y.size)
    copy(f, derivative)
    for j in range(1, s + 1):
        stage_state(j, table, y, f, h, before, last, derivative, state)
        evaluate(field, state, derivative)
        before, last, state = last, state, before
    copy(last, out)


@shared(types.void(VECTOR, VECTOR, VECTOR, VECTOR, REAL, VECTOR))
def error_estimate(y, y_new, f, f_new, h, out):
    """Fill out = 0.8 (y - y_new) + 0.4 h (f + f_new), of size h^3."""
    for k in range(y.size):
        out[k] = 0.8 * (y[k] - y_new[k]) + 0.4 * h * (f[k] + f_new[k])
