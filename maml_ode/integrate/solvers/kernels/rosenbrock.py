"""Stages of Rosenbrock methods, and triangular solves with one factorisation of I - gamma h J.

The factorisation is a Cholesky factor L (no pivots: ``pivots.size == 0``) where I - gamma h J is symmetric and
positive definite, or LU with LAPACK's row interchanges.
"""

from __future__ import annotations

from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import shared
from maml_ode.compiled.fields import FIELD, MAML, evaluate
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.solvers.kernels.norms import weighted_rms as weighted_rms

PIVOTS = types.int64[::1]


@shared(types.void(MATRIX, PIVOTS, VECTOR))
def solve(factor, pivots, x):
    """Overwrite x by the solution of the factorised system with right-hand side x."""
    n = x.size
    if pivots.size == 0:
        for i in range(n):
            total = x[i]
            for j in range(i):
                total -= factor[i, j] * x[j]
            x[i] = total / factor[i, i]
        for i in range(n - 1, -1, -1):
            x[i] /= factor[i, i]
            for j in range(i):
                x[j] -= factor[i, j] * x[i]
        return
    for i in range(n):
        p = pivots[i]
        x[i], x[p] = x[p], x[i]
    for i in range(n):
        total = x[i]
        for j in range(i):
            total -= factor[i, j] * x[j]
        x[i] = total
    for i in range(n - 1, -1, -1):
        total = x[i]
        for j in range(i + 1, n):
            total -= factor[i, j] * x[j]
        x[i] = total / factor[i, i]


@shared(types.void(INDEX, MATRIX, VECTOR, MATRIX, VECTOR))
def stage_state(stage, A, y, U, out):
    """Fill out = y + sum_{j < stage} A[stage, j] U[j]."""
    copy(y, out)
    for j in range(stage):
        a = A[stage, j]
        if a != 0.0:
            for k in range(y.size):
                out[k] += a * U[j, k]


@shared(types.void(VECTOR, VECTOR, MATRIX, VECTOR))
def new_state(m, y, U, out):
    """Fill out = y + sum_j m[j] U[j]."""
    copy(y, out)
    for j in range(m.size):
        for k in range(y.size):
            out[k] += m[j] * U[j, k]


@shared(
    types.void(INDEX, MATRIX, REAL, REAL, MATRIX, PIVOTS, VECTOR, VECTOR, REAL, MATRIX),
)
def solve_stage(stage, C, gamma, h, factor, pivots, f, f_t, d, U):
    """Fill U[stage] from f at the stage, and the time derivative ``f_t`` (empty if there is none)."""
    u = U[stage]
    for k in range(f.size):
        u[k] = h * f[k]
    for j in range(stage):
        c = C[stage, j]
        if c != 0.0:
            for k in range(f.size):
                u[k] += c * U[j, k]
    if f_t.size > 0:
        for k in range(f.size):
            u[k] += h * h * d * f_t[k]
    for k in range(f.size):
        u[k] *= gamma
    solve(factor, pivots, u)


@shared(
    types.void(
        FIELD, MATRIX, MATRIX, REAL, REAL, MATRIX, PIVOTS, VECTOR, VECTOR, MATRIX, VECTOR, VECTOR
    ),
)
def native_stages(field, A, C, gamma, h, factor, pivots, y, f, U, state, derivative):
    """Fill all rows of U, with f = v(y) given: one evaluation fewer than there are stages."""
    nothing = f[:0]
    solve_stage(0, C, gamma, h, factor, pivots, f, nothing, 0.0, U)
    if field.kind == MAML:
        # `evaluate` with all taken out of the handle once.
        problem, query, descent = field.problem, field.query, field.descent
        alpha, inner_steps = field.alpha, field.inner_steps
        for stage in range(1, U.shape[0]):
            stage_state(stage, A, y, U, state)
            descent(problem, query, state, alpha, inner_steps, derivative)
            for k in range(y.size):
                derivative[k] = -derivative[k]
            solve_stage(stage, C, gamma, h, factor, pivots, derivative, nothing, 0.0, U)
        return
    for stage in range(1, U.shape[0]):
        stage_state(stage, A, y, U, state)
        evaluate(field, state, derivative)
        solve_stage(stage, C, gamma, h, factor, pivots, derivative, nothing, 0.0, U)
