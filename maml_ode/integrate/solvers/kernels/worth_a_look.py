"""Whether the watchers of a run have to see an accepted step by itself.

The watchers decide in Python; this only leaves out steps in which they cannot find anything, which is why every
comparison here errs on the side of a look.
"""

from __future__ import annotations

import math

from numba import types

from maml_ode.compiled.contract import REAL, VECTOR
from maml_ode.compiled.decorators import inner
from maml_ode.compiled.scratch import matrix_in, stack
from maml_ode.integrate.norm_bounds import GROWN, NEAR, STALL_FLOOR, STALL_STEPS
from maml_ode.integrate.solvers.kernels.norms import euclidean
from maml_ode.integrate.solvers.kernels.phase_record import PHASE

# Far above what summing in another order changes, far below what matters.
MARGIN = 1e-9


@inner(REAL(PHASE, VECTOR, VECTOR))
def judged_norm(phase, state, value):
    """Return the norm that says whether ``state`` is at rest, from the field there."""
    d = phase.observed
    if d == 0:
        return euclidean(value)
    force, friction, share = matrix_in(stack(), 1, d)[0], phase.friction, 1.0
    if phase.clocked:
        t = state[2 * d]
        if t > 0.0:
            friction /= t
        else:
            friction, share = 0.0, 1.0 + friction
    for k in range(d):
        force[k] = share * value[d + k] + friction * state[d + k]
    pull, speed = euclidean(force), euclidean(state[d : 2 * d])
    return pull if pull > speed or math.isnan(pull) else speed


@inner(REAL(REAL, REAL, REAL, REAL, REAL, REAL))
def _slope(s, h, w_old, w, value_old, value):
    """Return the derivative of the cubic through both ends, at the share ``s`` of the step."""
    inner = 6.0 * s * (1.0 - s) * (w - w_old) / h
    return inner + (1.0 - s) * (1.0 - 3.0 * s) * value_old + s * (3.0 * s - 2.0) * value


@inner(types.boolean(PHASE, REAL, VECTOR, VECTOR, VECTOR, VECTOR, REAL))
def _may_dip(phase, h, w_old, w, value_old, value, norm):
    """Whether the norm may have been at its threshold inside the step (``watch.crossing``)."""
    turn = size = 0.0
    for k in range(w.size):
        part = value[k] * (value[k] - _slope(0.9, h, w_old[k], w[k], value_old[k], value[k]))
        turn += part
        size += abs(part)
    if turn < -MARGIN * size:
        return False
    near = (1.0 + MARGIN) * NEAR * phase.threshold
    if norm <= near or not math.isfinite(size):
        return True
    for share in (0.25, 0.5, 0.75):
        square = 0.0
        for k in range(w.size):
            slope = _slope(share, h, w_old[k], w[k], value_old[k], value[k])
            square += slope * slope
        if not square > near * near:
            return True
    return False


@inner(types.boolean(PHASE, VECTOR, VECTOR, VECTOR, VECTOR, REAL))
def _hovers(phase, w_old, w, value_old, value, norm):
    """Whether the norm has stopped falling (``watch.stall.Hovering``)."""
    if norm > GROWN * phase.best:
        phase.steps_above += 1
    else:
        phase.steps_above = 0
    if norm < phase.best or phase.steps_above >= STALL_STEPS:
        phase.best, phase.steps_since_best, phase.steps_above = norm, 0, 0
        return False
    phase.steps_since_best += 1
    if phase.steps_above > 0 or phase.steps_since_best < STALL_STEPS:
        return False
    moved = changed = 0.0
    size = w.size - phase.clocked  # a clock goes on where all else is at rest
    for k in range(size):
        step, change = w[k] - w_old[k], value[k] - value_old[k]
        moved += step * step
        changed += change * change
    if moved < 1e-290 or not math.isfinite(changed):
        return True
    floor = math.sqrt(changed / moved) * (phase.atol + phase.rtol * euclidean(w[:size]))
    return phase.best <= (1.0 + MARGIN) * STALL_FLOOR * floor


@inner(types.boolean(PHASE, REAL, VECTOR, VECTOR, VECTOR, VECTOR, REAL))
def worth_a_look(phase, h, w_old, w, value_old, value, norm):
    """Whether something may have happened in the step, or at its end; counts how long the norm hovers."""
    hovers = phase.watches_stall and _hovers(phase, w_old, w, value_old, value, norm)
    if hovers or norm <= (1.0 + MARGIN) * phase.target:
        return True
    if phase.sign == 0.0:
        return False
    if phase.sign * (norm - phase.threshold) <= MARGIN * phase.threshold:
        return True
    return phase.sign > 0.0 and _may_dip(phase, h, w_old, w, value_old, value, norm)
