"""Stages of explicit Runge-Kutta methods whose last stage is the new state (first same as last).

K has one row per stage, K[0] = f(t, y) is given, and stage s is evaluated at y + h sum_{j<s} a_sj K[j]. The same
loops serve a native field, all stages in one call, and a Python callback, one stage at a time.
"""

from __future__ import annotations

import math

from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, shared
from maml_ode.compiled.fields import AFFINE, COMPOSED, FEW, FIELD
from maml_ode.compiled.scratch import matrix_in, stack
from maml_ode.integrate.solvers.kernels.norms import weighted_rms


@inner(types.void(VECTOR, MATRIX, VECTOR))
def weighted_sum(coefficients, K, out):
    """Fill out = sum_j coefficients[j] K[j]; of few entries, eight sums at a time stay in registers."""
    d = out.size
    whole = d - d % 8 if d <= FEW else 0
    for k in range(0, whole, 8):
        p = q = r = s = t = u = v = w = 0.0
        for j in range(coefficients.size):
            a = coefficients[j]
            if a != 0.0:
                p += a * K[j, k]
                q += a * K[j, k + 1]
                r += a * K[j, k + 2]
                s += a * K[j, k + 3]
                t += a * K[j, k + 4]
                u += a * K[j, k + 5]
                v += a * K[j, k + 6]
                w += a * K[j, k + 7]
        out[k], out[k + 1], out[k + 2], out[k + 3] = p, q, r, s
        out[k + 4], out[k + 5], out[k + 6], out[k + 7] = t, u, v, w
    for k in range(whole, d):
        out[k] = 0.0
    for j in range(coefficients.size):
        a = coefficients[j]
        if a != 0.0:
            for k in range(whole, d):
                out[k] += a * K[j, k]


@shared(types.void(INDEX, MATRIX, VECTOR, REAL, MATRIX, VECTOR))
def stage_state(stage, A, y, h, K, out):
    """Fill out = y + h sum_{j < stage} A[stage, j] K[j]."""
    weighted_sum(A[stage, :stage], K, out)
    for k in range(y.size):
        out[k] = y[k] + h * out[k]


@shared(types.void(FIELD, INDEX, INDEX, MATRIX, VECTOR, REAL, MATRIX, VECTOR))
def native_stages(field, first, last, A, y, h, K, out):
    """Evaluate the stages first, ..., last - 1; ``out`` ends as the state of the last one."""
    # What `fields.evaluate` does, with all taken out of the handle once: a small field takes no longer than that.
    if field.kind == AFFINE:
        matrix, vector, value = field.matrix, field.vector, field.value
        for stage in range(first, last):
            stage_state(stage, A, y, h, K, out)
            value(matrix, vector, out, K[stage])
        return
    problem, query, alpha, inner_steps = field.problem, field.query, field.alpha, field.inner_steps
    if field.kind == COMPOSED:
        composition, numbers = field.composition, field.vector
        for stage in range(first, last):
            stage_state(stage, A, y, h, K, out)
            composition(problem, query, out, alpha, inner_steps, numbers, K[stage])
        return
    descent = field.descent
    for stage in range(first, last):
        stage_state(stage, A, y, h, K, out)
        descent(problem, query, out, alpha, inner_steps, K[stage])
        for k in range(out.size):
            K[stage, k] = -K[stage, k]


@inner(types.void(VECTOR, REAL, MATRIX, VECTOR))
def combine(coefficients, h, K, out):
    """Fill out = h sum_j coefficients[j] K[j]."""
    weighted_sum(coefficients, K, out)
    for k in range(out.size):
        out[k] *= h


@inner(REAL(VECTOR, REAL, MATRIX, INDEX, VECTOR, VECTOR, VECTOR, VECTOR))
def error_norm(coefficients, h, K, last, y, y_new, rtol, atol):
    """Return the norm of h sum_j coefficients[j] K[j], infinite if K[last] or the new state is not finite."""
    for k in range(y.size):
        if not math.isfinite(K[last, k]):
            return math.inf
    error = matrix_in(stack(), 1, y.size)[0]
    combine(coefficients, h, K, error)
    return weighted_rms(error, y, y_new, rtol, atol)


@shared(REAL(VECTOR, VECTOR, REAL, MATRIX, INDEX, VECTOR, VECTOR, VECTOR, VECTOR))
def step_error(coefficients, second, h, K, last, y, y_new, rtol, atol):
    """Return a step's error relative to its tolerance.

    Where there is a ``second`` estimate, of order 3 beside one of order 5, it is
    err5^2 / sqrt(err5^2 + err3^2 / 100), which behaves as h^8 (Hairer, Norsett and Wanner I, section II.10).
    """
    size = error_norm(coefficients, h, K, last, y, y_new, rtol, atol)
    if second.size == 0 or size == 0.0 or not math.isfinite(size):
        return size
    other = error_norm(second, h, K, last, y, y_new, rtol, atol)
    return size * (size / math.hypot(size, 0.1 * other))


@shared(types.void(MATRIX, MATRIX, REAL, VECTOR, VECTOR, MATRIX))
def interpolant_rows(dense, K, h, y_old, y, rows):
    """Fill the rows of a step's interpolant: y - y_old, and h sum_j dense[r, j] K[j]."""
    for k in range(y.size):
        rows[0, k] = y[k] - y_old[k]
    for r in range(dense.shape[0]):
        combine(dense[r], h, K, rows[r + 1])
