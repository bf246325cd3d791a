"""The loop over the steps of a phase for the Runge-Kutta-Chebyshev method on a native field.

As ``maml_ode.integrate.solvers.kernels.phase_loop``, with the steps of ``maml_ode.integrate.solvers.rkc2``. It
comes back where the spectral radius has to be estimated.
"""

from __future__ import annotations

import math

import numpy as np

from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.fields import FIELD
from maml_ode.compiled.scratch import borrowed, matrix_in, stack
from maml_ode.integrate.solvers.control import LARGEST_STEP
from maml_ode.integrate.solvers.kernels.chebyshev import coefficients, error_estimate, native_step
from maml_ode.integrate.solvers.kernels.norms import weighted_rms
from maml_ode.integrate.solvers.kernels.phase_record import PHASE
from maml_ode.integrate.solvers.kernels.step_control import after_acceptance, after_rejection
from maml_ode.integrate.solvers.kernels.worth_a_look import judged_norm, worth_a_look
from maml_ode.integrate.solvers.pauses import (
    BEYOND,
    ESTIMATE,
    LIMIT,
    LOOK,
    NOT_FINITE,
    PAUSED,
    TOO_SMALL,
)

_ACCEPTED = -1
# The radius that the number of stages is chosen by, whether it is exact, the steps since it was estimated, whether
# a trial was rejected since, and the size of the step that it is estimated for.
RADIUS, EXACT, AGE, REJECTED, TRIAL = range(5)


@inner(REAL(VECTOR, VECTOR))
def _distance(before, after):
    change = np.empty(before.size)
    for k in range(before.size):
        change[k] = after[k] - before[k]
    return math.sqrt(np.dot(change, change))


@inner(
    INDEX(
        FIELD,
        PHASE,
        REAL,
        INDEX,
        INDEX,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
    )
)
def _step(
    field, phase, damping, most_stages, between, spectrum, rtol, atol, ends, y, y_new, f, f_new
):
    """Try steps from ends[0] until one is accepted; ends[1] receives where it ends."""
    room = stack()
    t = ends[0]
    longest = LARGEST_STEP if math.isinf(phase.t_bound) else math.inf
    if abs(t) >= longest:
        return BEYOND
    smallest = 10 * abs(np.nextafter(t, math.inf) - t)
    if not phase.trying:
        h = min(min(max(phase.h, smallest), phase.max_step), longest)
        if not spectrum[EXACT] and spectrum[AGE] >= between:
            spectrum[TRIAL] = h
            return ESTIMATE
        if spectrum[RADIUS] > 0.0:
            h = min(h, 0.65 * (most_stages**2 - 1) / spectrum[RADIUS])
        phase.h = h
        phase.trying, phase.finite, phase.rejected = 1, 1, 0
    while True:
        t_new = t + phase.h
        if t_new > phase.t_bound:
            t_new = phase.t_bound
        elif phase.h < smallest:
            return TOO_SMALL if phase.finite else NOT_FINITE
        h = t_new - t
        if not spectrum[EXACT] and spectrum[REJECTED]:
            spectrum[TRIAL] = h
            return ESTIMATE
        if phase.evaluations >= phase.pause:
            return PAUSED
        needed = 1 + int(min(math.sqrt(1.54 * h * spectrum[RADIUS] + 1.0), 1e6))
        stages = min(max(2, needed), max(2, most_stages))
        size = math.inf
        if needed <= stages + 1:
            if phase.evaluations >= phase.most_evaluations:
                return LIMIT
            phase.evaluations += stages
            native_step(field, coefficients(stages, damping), y, f, h, y_new, f_new)
            error = matrix_in(room, 1, y.size)[0]
            error_estimate(y, y_new, f, f_new, h, error)
            size = weighted_rms(error, y, y_new, rtol, atol)
        if size < 1.0:
            break
        phase.finite = math.isfinite(size)
        phase.rejected += 1
        spectrum[REJECTED] = 1.0
        phase.h = h * after_rejection(phase, size)
        if t + phase.h == t:
            return TOO_SMALL if phase.finite else NOT_FINITE
    spectrum[AGE] += 1.0
    if _distance(f, f_new) > spectrum[RADIUS] * _distance(y, y_new):
        spectrum[AGE] = between
    ends[1] = t_new
    phase.h = h * after_acceptance(phase, size, h)
    phase.rejections += phase.rejected
    phase.trying = 0
    return _ACCEPTED


@on_demand(
    INDEX(
        FIELD, PHASE, REAL, INDEX, INDEX, VECTOR, VECTOR, VECTOR, VECTOR, MATRIX, MATRIX, VECTOR
    )
)  # fmt: skip
def chebyshev_phase(
    field, phase, damping, most_stages, between, spectrum, rtol, atol, times, states, values, norms
):
    """Take steps from row 0 of ``times``, ``states`` and ``values``; return why it came back.

    Parameters
    ----------
    field : FIELD
    phase : PHASE
    damping : float
    most_stages, between : int
        The largest number of stages, and of steps between estimates of the spectral radius.
    spectrum : ndarray of shape (5,)
        What is known of the spectral radius; kept between calls.
    rtol, atol : ndarray of shape (d,)
    times, states, values, norms : ndarray of ``room`` + 1 rows
        Times, states, the field there and its norm.
    """
    rtol, atol, times, norms = borrowed(rtol), borrowed(atol), borrowed(times), borrowed(norms)
    states, values, spectrum = borrowed(states), borrowed(values), borrowed(spectrum)
    phase.steps = phase.evaluations = phase.rejections = 0
    while phase.steps < phase.room:
        n = phase.steps
        code = _step(
            field, phase, damping, most_stages, between, spectrum, rtol, atol, times[n : n + 2],
            states[n], states[n + 1], values[n], values[n + 1],
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
