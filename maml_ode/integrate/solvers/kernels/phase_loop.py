"""The loop over the steps of a phase for explicit Runge-Kutta methods on a native field.

It goes on from the first row of a buffer and fills the rows that follow with accepted steps, until the buffer is
full, a step is worth a look, a limit is met or no step is possible. Which steps are tried and accepted, and with
which numbers, is what ``maml_ode.integrate.solvers.adaptive`` does step by step.
"""

from __future__ import annotations

import math

import numpy as np

from maml_ode.compiled.contract import INDEX, MATRIX, VECTOR
from maml_ode.compiled.decorators import inner, shared
from maml_ode.compiled.fields import FIELD
from maml_ode.compiled.scratch import borrowed
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.solvers.control import LARGEST_STEP
from maml_ode.integrate.solvers.kernels.phase_record import PHASE
from maml_ode.integrate.solvers.kernels.runge_kutta import native_stages, step_error
from maml_ode.integrate.solvers.kernels.step_control import (
    after_acceptance,
    after_rejection,
    first_step,
    is_finite,
)
from maml_ode.integrate.solvers.kernels.worth_a_look import judged_norm, worth_a_look
from maml_ode.integrate.solvers.pauses import BEYOND, LIMIT, LOOK, NOT_FINITE, PAUSED, TOO_SMALL

_ACCEPTED = -1


@inner(
    INDEX(
        FIELD, PHASE, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR,
        VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, MATRIX,
    ),
)  # fmt: skip
def _step(field, phase, A, error, error_3, rtol, atol, ends, y, y_new, f, f_new, K):
    """Try steps from ends[0] until one is accepted; ends[1] receives where it ends."""
    t = ends[0]
    longest = LARGEST_STEP if math.isinf(phase.t_bound) else math.inf
    if abs(t) >= longest:
        return BEYOND
    smallest = 10 * abs(np.nextafter(t, math.inf) - t)
    if not phase.trying:
        phase.h = min(min(max(phase.h, smallest), phase.max_step), longest)
        phase.trying, phase.finite, phase.rejected = 1, 1, 0
    while True:
        t_new = t + phase.h
        if t_new > phase.t_bound:
            t_new = phase.t_bound
        elif phase.h < smallest:
            return TOO_SMALL if phase.finite else NOT_FINITE
        if phase.evaluations >= phase.most_evaluations:
            return LIMIT
        if phase.evaluations >= phase.pause:
            return PAUSED
        h = t_new - t
        last = phase.stages - 1
        copy(f, K[0])
        phase.evaluations += last
        native_stages(field, 1, phase.stages, A, y, h, K, y_new)
        size = step_error(error, error_3, h, K, last, y, y_new, rtol, atol)
        if size < 1.0:
            break
        phase.finite = math.isfinite(size)
        phase.rejected += 1
        phase.h = h * after_rejection(phase, size)
        if t + phase.h == t:
            return TOO_SMALL if phase.finite else NOT_FINITE
    copy(K[last], f_new)
    ends[1] = t_new
    phase.h = h * after_acceptance(phase, size, h)
    phase.rejections += phase.rejected
    phase.trying = 0
    return _ACCEPTED


@shared(
    INDEX(
        FIELD, PHASE, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, MATRIX, MATRIX, VECTOR, MATRIX
    ),
    driver=True,
)
def explicit_phase(field, phase, A, error, error_3, rtol, atol, times, states, values, norms, K):
    """Take steps from row 0 of ``times``, ``states`` and ``values``; return why it came back.

    Parameters
    ----------
    field : FIELD
    phase : PHASE
        ``steps``, ``evaluations`` and ``rejections`` say afterwards what was done.
    A, error, error_3 : ndarray
        The tableau, the weights of the error estimate and those of the second one, if there is one.
    rtol, atol : ndarray of shape (d,)
    times, states, values, norms : ndarray of ``room`` + 1 rows
        Times, states, the field there and its norm.
    K : ndarray
        The stages of the last step.
    """
    A, error, error_3, K = borrowed(A), borrowed(error), borrowed(error_3), borrowed(K)
    rtol, atol, times, norms = borrowed(rtol), borrowed(atol), borrowed(times), borrowed(norms)
    states, values = borrowed(states), borrowed(values)
    phase.steps = phase.evaluations = phase.rejections = 0
    if math.isnan(phase.h):
        phase.h, phase.evaluations = first_step(
            field, times[0], 1.0, phase.t_bound - times[0], phase.max_step, phase.error_order - 1,
            rtol, atol, states[0], values[0], states[1], values[1],
        )  # fmt: skip
        phase.bad_guess = not is_finite(values[1])
    while phase.steps < phase.room:
        n = phase.steps
        code = _step(
            field, phase, A, error, error_3, rtol, atol,
            times[n : n + 2], states[n], states[n + 1], values[n], values[n + 1], K,
        )  # fmt: skip
        if code != _ACCEPTED:
            return code
        phase.steps = n + 1
        norms[n + 1] = judged_norm(phase, states[n + 1], values[n + 1])
        h = times[n + 1] - times[n]
        if worth_a_look(phase, h, states[n], states[n + 1], values[n], values[n + 1], norms[n + 1]):
            return LOOK
        if times[n + 1] >= phase.t_bound or phase.evaluations >= phase.pause:
            break
    return PAUSED
