"""Factorisations of I - scale J for small matrices, whose calls to LAPACK would take longer than the work."""

from __future__ import annotations

import math

from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, REAL
from maml_ode.compiled.decorators import inner, shared

PIVOTS = types.int64[::1]
NONE, CHOLESKY, LU = range(3)


@inner(types.boolean(MATRIX, REAL, MATRIX))
def _cholesky(J, scale, factor):
    """Fill the lower triangle of ``factor`` with Cholesky's; return whether the matrix is positive definite."""
    for i in range(len(J)):
        for j in range(i + 1):
            total = -scale * J[i, j]
            if i == j:
                total += 1.0
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = total / factor[j, j]
            elif total > 0.0 and math.isfinite(total):
                factor[i, i] = math.sqrt(total)
            else:
                return False
    return True


@inner(types.boolean(MATRIX, REAL, MATRIX, PIVOTS))
def _lu(J, scale, factor, pivots):
    """Fill ``factor`` and ``pivots`` with an LU factorisation; return whether there is one."""
    n = len(J)
    for i in range(n):
        for j in range(n):
            factor[i, j] = -scale * J[i, j]
        factor[i, i] += 1.0
    for j in range(n):
        p = j
        for i in range(j + 1, n):
            if abs(factor[i, j]) > abs(factor[p, j]):
                p = i
        pivots[j] = p
        if factor[p, j] == 0.0 or not math.isfinite(factor[p, j]):
            return False
        if p != j:
            for k in range(n):
                factor[j, k], factor[p, k] = factor[p, k], factor[j, k]
        for i in range(j + 1, n):
            factor[i, j] /= factor[j, j]
            for k in range(j + 1, n):
                factor[i, k] -= factor[i, j] * factor[j, k]
    for i in range(n):
        for j in range(n):
            if not math.isfinite(factor[i, j]):
                return False
    return True


@shared(types.UniTuple(INDEX, 2)(MATRIX, REAL, types.boolean, MATRIX, PIVOTS))
def factorize(J, scale, symmetric, factor, pivots):
    """Factorise I - scale J; return ``CHOLESKY``, ``LU`` or ``NONE``, and how many factorisations it took."""
    tried = 0
    if symmetric:
        tried += 1
        if _cholesky(J, scale, factor):
            return CHOLESKY, tried
    return (LU if _lu(J, scale, factor, pivots) else NONE), tried + 1
