"""The norms of integrators: the one that measures local errors, and the Euclidean one without overflow."""

from __future__ import annotations

import math

from numba import types

from maml_ode.compiled.contract import MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand, shared
from maml_ode.compiled.vectors import inner_product

# A threaded BLAS waits for its threads on long vectors (as in ``maml_ode.integrate.norms``).
LONG = 4096


@shared(REAL(VECTOR, VECTOR, VECTOR, VECTOR, VECTOR))
def weighted_rms(error, y, y_new, rtol, atol):
    """Return sqrt(mean((error_k / (atol_k + rtol_k max(|y_k|, |y_new_k|)))^2)), infinite if y_new is not finite.

    Zero weights (atol = 0 at y = 0) count a zero error as 0 and any other as infinite.
    """
    total = 0.0
    for k in range(error.size):
        if not math.isfinite(y_new[k]) or not math.isfinite(error[k]):
            return math.inf
        if error[k] != 0.0:
            weight = atol[k] + rtol[k] * max(abs(y[k]), abs(y_new[k]))
            if weight == 0.0:
                return math.inf
            share = error[k] / weight
            total += share * share
    return math.sqrt(total / error.size)


@inner(REAL(VECTOR))
def euclidean(v):
    """Return the Euclidean norm as ``maml_ode.integrate.norms.vector_norm`` does, to rounding."""
    square = 0.0
    if v.size < LONG:
        square = inner_product(v, v)
    else:
        for k in range(v.size):
            square += v[k] * v[k]
    if 1e-290 < square < 1e290:
        return math.sqrt(square)
    if math.isnan(square):
        return square
    largest = 0.0
    for k in range(v.size):
        largest = max(largest, abs(v[k]))
    if largest == 0.0 or math.isinf(largest):
        return largest
    square = 0.0
    for k in range(v.size):
        share = v[k] / largest
        square += share * share
    return largest * math.sqrt(square)


@on_demand(types.void(MATRIX, VECTOR))
def euclidean_rows(rows, out):
    """Set out to the norms of the rows, to the bit those of `euclidean`."""
    for k in range(out.size):
        out[k] = euclidean(rows[k])
