"""The norm in which integrators measure their local errors."""

from __future__ import annotations

import math

from numba import njit

from maml_ode.compiled.contract import REAL, VECTOR


@njit(REAL(VECTOR, VECTOR, VECTOR, VECTOR, VECTOR), cache=True)
def weighted_rms(error, y, y_new, rtol, atol):  # type: ignore[no-untyped-def]
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
            total += (error[k] / weight) ** 2
    return math.sqrt(total / error.size)
