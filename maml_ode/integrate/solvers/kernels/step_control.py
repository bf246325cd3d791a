"""Step sizes in compiled code: the first one, and those that follow from the errors of the last ones.

The arithmetic is that of ``maml_ode.integrate.solvers.control``, operation by operation. The least of several
numbers is taken two by two: Numba compiles `min` anew for every count.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled.contract import INDEX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, shared
from maml_ode.compiled.fields import FIELD, evaluate
from maml_ode.compiled.scratch import borrowed, matrix_in, stack
from maml_ode.integrate.solvers.kernels.norms import euclidean
from maml_ode.integrate.solvers.kernels.phase_record import PHASE

TINY = float(np.finfo(float).tiny)


@inner(REAL(PHASE, REAL, REAL))
def after_acceptance(phase, error, h):
    """Return the factor after an accepted step of size ``h``, and remember the step."""
    factor = phase.largest
    if error > 0.0:
        factor = phase.safety * error**-phase.integral
        if phase.proportional != 0.0:
            factor *= phase.error_before**phase.proportional
        if phase.predictive and phase.h_before > 0.0 and phase.error_before > 0.0:
            ratio = phase.error_before / (error * error)
            predicted = phase.safety * (h / phase.h_before) * ratio ** (1.0 / phase.order)
            factor = min(factor, predicted)
        factor = min(phase.largest, max(phase.smallest, factor))
    phase.error_before = max(error, 1e-4 if phase.proportional != 0.0 else 1e-2)
    phase.h_before = h
    return min(1.0, factor) if phase.rejected > 0 else factor


@inner(REAL(PHASE, REAL))
def after_rejection(phase, error):
    """Return the factor after a rejected trial, whose error is infinite if it was not finite."""
    if not math.isfinite(error):
        return phase.smallest
    return max(phase.smallest, phase.safety * error ** (-1.0 / phase.order))


@inner(REAL(VECTOR, VECTOR))
def _scaled_rms(x, scale):
    scaled = matrix_in(stack(), 1, x.size)[0]
    for k in range(x.size):
        scaled[k] = x[k] / scale[k]
    return euclidean(scaled) / math.sqrt(x.size)


@inner(types.boolean(VECTOR))
def is_finite(x):
    """Whether all entries are finite."""
    known = True
    for k in range(x.size):
        known &= math.isfinite(x[k])
    return known


@shared(
    types.Tuple((REAL, INDEX))(
        FIELD, REAL, REAL, REAL, REAL, INDEX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR
    ),
)
def first_step(field, t, direction, length, max_step, order, rtol, atol, y, f, y_1, f_1):
    """Return a first step size from one Euler step, and how many evaluations it took.

    ``y_1`` and ``f_1`` receive the last Euler step and the field there.
    """
    y, f, y_1, f_1 = borrowed(y), borrowed(f), borrowed(y_1), borrowed(f_1)
    rtol, atol = borrowed(rtol), borrowed(atol)
    scale = matrix_in(stack(), 1, y.size)[0]
    for k in range(y.size):
        scale[k] = atol[k] + abs(y[k]) * rtol[k]
        if scale[k] == 0.0:
            scale[k] = TINY
    d_0, d_1 = _scaled_rms(y, scale), _scaled_rms(f, scale)
    h_0 = 1e-6
    if not (d_0 < 1e-5 or d_1 < 1e-5) and math.isfinite(d_0 / d_1):
        h_0 = 0.01 * d_0 / d_1
    if h_0 == 0.0:  # d_1 has overflowed
        h_0 = TINY
    h_0 = min(h_0, length)
    evaluations = 0
    while True:
        for k in range(y.size):
            y_1[k] = y[k] + h_0 * direction * f[k]
        evaluate(field, y_1, f_1)
        evaluations += 1
        if is_finite(f_1) or t + 0.1 * h_0 * direction == t:
            break
        h_0 *= 0.1
    change = matrix_in(stack(), 1, y.size)[0]
    for k in range(y.size):
        change[k] = f_1[k] - f[k]
    d_2 = _scaled_rms(change, scale) / h_0
    largest = d_2 if d_2 > d_1 else d_1
    if not math.isfinite(largest):
        return h_0, evaluations
    if largest <= 1e-15:
        return min(min(min(100 * h_0, max(1e-6, h_0 * 1e-3)), length), max_step), evaluations
    h_1 = (0.01 / largest) ** (1.0 / (order + 1))
    return min(min(min(100 * h_0, h_1), length), max_step), evaluations
