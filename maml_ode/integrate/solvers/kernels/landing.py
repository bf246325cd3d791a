"""Landing, in compiled code, on the state in which the norm of a phase's own field meets the phase's rule.

The search is that of ``maml_ode.integrate.locate`` for rules that fall through 0, operation by operation, with the
same evaluations: Brent's method on the interpolant, then the secant rule on states to which the method steps.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, shared
from maml_ode.compiled.fields import FIELD, evaluate
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.roots import MOST_STEPS
from maml_ode.integrate.solvers.kernels.norms import euclidean
from maml_ode.integrate.solvers.kernels.phase_loop import explicit_phase
from maml_ode.integrate.solvers.kernels.phase_record import PHASE
from maml_ode.integrate.solvers.kernels.step_control import is_finite
from maml_ode.integrate.solvers.landings import (
    JUMP,
    LANDED,
    MOST_CORRECTIONS,
    OUT_OF_EVALUATIONS,
    RELATIVE_ACCURACY,
    UNSURE,
)
from maml_ode.integrate.solvers.pauses import FAILURES, LIMIT

EPS = float(np.finfo(np.float64).eps)
UNLIMITED = 2**62

# The search's own numbers: what it has spent of the evaluations it may make, and whether it can go on.
SPENT, MOST, CODE = range(3)
COUNTS = types.int64[::1]
# The state that was evaluated last, and the field there: asked for again it costs nothing.
MEMORY = types.UniTuple(VECTOR, 2)
# t_old, h, the state at t_old and the rows of the interpolant.
PIECE = types.Tuple((REAL, REAL, VECTOR, MATRIX))


@inner(types.void(PIECE, REAL, VECTOR))
def interpolate(piece, t, out):
    """Fill out with the interpolant at ``t``, as ``maml_ode.integrate.solvers.dense`` evaluates it."""
    t_old, h, w_old, rows = piece
    x = (t - t_old) / h
    for k in range(out.size):
        out[k] = 0.0
    for number in range(rows.shape[0] - 1, -1, -1):
        factor = x if number % 2 == 0 else 1.0 - x
        for k in range(out.size):
            out[k] = (out[k] + rows[number, k]) * factor
    for k in range(out.size):
        out[k] += w_old[k]


@inner(types.boolean(FIELD, MEMORY, COUNTS, VECTOR))
def _know(field, memory, counts, w):
    """Evaluate the field at ``w`` unless that is what was evaluated last; return whether the search can go on."""
    known, value = memory
    same = True
    for k in range(w.size):
        same &= known[k] == w[k]
    if same:
        return True
    if counts[SPENT] >= counts[MOST]:
        counts[CODE] = OUT_OF_EVALUATIONS
        return False
    counts[SPENT] += 1
    copy(w, known)
    evaluate(field, known, value)
    if not is_finite(value):
        counts[CODE] = UNSURE
        return False
    return True


@inner(REAL(FIELD, MEMORY, COUNTS, REAL, REAL, VECTOR))
def _rule(field, memory, counts, sign, threshold, w):
    """Return the rule's value at ``w``; NaN where the search cannot go on."""
    if not _know(field, memory, counts, w):
        return math.nan
    return sign * (euclidean(memory[1]) - threshold)


@inner(REAL(FIELD, MEMORY, COUNTS, REAL, REAL, PIECE, VECTOR, REAL))
def _along(field, memory, counts, sign, threshold, piece, point, t):
    """Return the rule's value on the interpolant at ``t``."""
    if t == piece[0]:
        copy(piece[2], point)
    else:
        interpolate(piece, t, point)
    return _rule(field, memory, counts, sign, threshold, point)


@inner(REAL(REAL, REAL, REAL, REAL, REAL, REAL))
def _interpolated(before, f_before, here, f_here, other, f_other):
    """Return the step of the secant, or of inverse quadratic interpolation; NaN where it divides by 0."""
    if before == other:
        if f_here == f_before:
            return math.nan
        return -f_here * (here - before) / (f_here - f_before)
    if before == here or other == here:
        return math.nan
    slope = (f_before - f_here) / (before - here)
    across = (f_other - f_here) / (other - here)
    top = f_other * across - f_before * slope
    bottom = across * slope * (f_other - f_before)
    return math.nan if bottom == 0.0 else -f_here * top / bottom


@inner(REAL(FIELD, MEMORY, COUNTS, REAL, REAL, PIECE, VECTOR, REAL, REAL))
def _brent(field, memory, counts, sign, threshold, piece, point, low, high):
    """Return the rule's root between ``low`` and ``high`` (``integrate.roots``), NaN if it is not found."""
    largest = max(abs(low), abs(high))
    xtol, rtol = 4 * (np.nextafter(largest, math.inf) - largest), 4 * EPS
    before, here = low, high
    f_before = _along(field, memory, counts, sign, threshold, piece, point, before)
    f_here = _along(field, memory, counts, sign, threshold, piece, point, here)
    other = f_other = last_step = step = 0.0
    for _ in range(MOST_STEPS):
        if math.isnan(f_before) or math.isnan(f_here):
            return math.nan
        if f_before != 0.0 and math.copysign(1.0, f_before) != math.copysign(1.0, f_here):
            other, f_other = before, f_before
            last_step = step = here - before
        if abs(f_other) < abs(f_here):
            before, here, other = here, other, here
            f_before, f_here, f_other = f_here, f_other, f_here
        resolved = (xtol + rtol * abs(here)) / 2
        half = (other - here) / 2
        if f_here == 0.0 or abs(half) < resolved:
            return here
        trial = math.nan
        if abs(last_step) > resolved and abs(f_here) < abs(f_before):
            trial = _interpolated(before, f_before, here, f_here, other, f_other)
        if 2 * abs(trial) < min(abs(last_step), 3 * abs(half) - resolved):
            last_step, step = step, trial
        else:
            last_step = step = half
        before, f_before = here, f_here
        here += step if abs(step) > resolved else math.copysign(resolved, half)
        f_here = _along(field, memory, counts, sign, threshold, piece, point, here)
    return math.nan


@inner(types.void(PHASE, REAL, REAL))
def begin_again(phase, h, t_bound):
    """Set a record to the beginning of a phase that looks out for nothing, with ``h`` as its first step."""
    phase.error_before = 1e-4 if phase.proportional != 0.0 else 0.0
    phase.h_before = 0.0
    phase.h, phase.t_bound = h, t_bound
    phase.target = phase.sign = phase.threshold = 0.0
    phase.watches_stall = 0
    phase.best = math.inf
    phase.steps_since_best = phase.steps_above = 0
    phase.trying = phase.finite = phase.rejected = 0


@inner(
    types.boolean(
        FIELD, MEMORY, COUNTS, PHASE, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, MATRIX, PIECE, REAL,
        VECTOR,
    )
)  # fmt: skip
def _step_to(field, memory, counts, phase, A, error, error_3, rtol, atol, K, piece, t, out):
    """Fill out with the state to which the method steps from t_old to ``t``; return whether it came there."""
    t_old, _, w_old, _ = piece
    if t <= t_old or not _know(field, memory, counts, w_old):
        return False
    times, norms = np.empty(2), np.empty(2)
    states, values = np.empty((2, w_old.size)), np.empty((2, w_old.size))
    begin_again(phase, t - t_old, t)
    phase.room, phase.pause = 1, UNLIMITED
    times[0] = t_old
    copy(w_old, states[0])
    copy(memory[1], values[0])
    while times[0] < t:
        phase.most_evaluations = counts[MOST] - counts[SPENT]
        code = explicit_phase(
            field, phase, A, error, error_3, rtol, atol, times, states, values, norms, K
        )
        counts[SPENT] += phase.evaluations
        if phase.steps == 0:
            counts[CODE] = OUT_OF_EVALUATIONS if code == LIMIT else UNSURE
            return False
        times[0] = times[1]
        copy(states[1], states[0])
        copy(values[1], values[0])
        if code in FAILURES:
            return False
    copy(states[0], out)
    copy(states[0], memory[0])
    copy(values[0], memory[1])
    return True


@inner(
    REAL(
        FIELD, MEMORY, COUNTS, PHASE, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, MATRIX,
        REAL, REAL, PIECE, REAL, REAL, VECTOR,
    )
)  # fmt: skip
def _search(
    field, memory, counts, phase, A, error, error_3, rtol, atol, K, sign, threshold, piece,
    low, high, out,
):  # fmt: skip
    point = np.empty(out.size)
    at_high = _along(field, memory, counts, sign, threshold, piece, point, high)
    if math.isnan(at_high):
        return math.nan
    at_low = _along(field, memory, counts, sign, threshold, piece, point, low)
    if not (at_high < 0.0 < at_low) or math.isinf(at_high) or math.isinf(at_low):
        return math.nan
    t = _brent(field, memory, counts, sign, threshold, piece, point, low, high)
    if math.isnan(t) or not _step_to(
        field, memory, counts, phase, A, error, error_3, rtol, atol, K, piece, t, out
    ):
        return math.nan
    left = _rule(field, memory, counts, sign, threshold, out)
    # The rule's slope along the interpolant, by a backward difference.
    before, slope = t - 1e-4 * (t - piece[0]), 0.0
    if before != t:
        rise = _along(field, memory, counts, sign, threshold, piece, point, t)
        if math.isnan(rise):
            return math.nan
        rise -= _along(field, memory, counts, sign, threshold, piece, point, before)
        slope = rise / (t - before)
    if math.isnan(slope) or math.isnan(left):
        return math.nan
    better = np.empty(out.size)
    for _ in range(MOST_CORRECTIONS):
        if abs(left) <= RELATIVE_ACCURACY * threshold or slope == 0.0:
            break
        target = t - left / slope
        if not piece[0] < target or target == t:
            break
        if not _step_to(
            field, memory, counts, phase, A, error, error_3, rtol, atol, K, piece, target, better
        ):
            return math.nan
        new = _rule(field, memory, counts, sign, threshold, better)
        if abs(new) >= abs(left):
            break
        slope = (new - left) / (target - t)
        t, left = target, new
        copy(better, out)
    return t if abs(left) <= JUMP * max(threshold, at_low) else math.nan


@shared(
    INDEX(
        FIELD, PHASE, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, MATRIX,
        REAL, REAL, PIECE, REAL, REAL, VECTOR, VECTOR, VECTOR, VECTOR,
    )
)  # fmt: skip
def land(
    field, phase, A, error, error_3, rtol, atol, K,
    sign, threshold, piece, low, high, known, value, found, out,
):  # fmt: skip
    """Find the first time between ``low`` and ``high`` at which sign (||field|| - threshold) falls to 0.

    Parameters
    ----------
    field : FIELD
    phase : PHASE
        A record of the method's; ``most_evaluations`` says how many may be made, and afterwards ``evaluations``
        how many were.
    A, error, error_3, rtol, atol, K
        As in ``phase_loop.explicit_phase``.
    sign, threshold : float
    piece : tuple
        t_old, h, the state at t_old and the interpolant's rows.
    low, high : float
    known, value : ndarray of shape (d,)
        The state that was evaluated last, and the field there; kept up to date.
    found : ndarray of shape (1,)
        Receives the time.
    out : ndarray of shape (d,)
        Receives the state.

    Returns
    -------
    int
        One of ``maml_ode.integrate.solvers.landings``.
    """
    counts = np.zeros(3, np.int64)
    counts[MOST] = phase.most_evaluations
    counts[CODE] = UNSURE
    memory = (known, value)
    t = _search(
        field, memory, counts, phase, A, error, error_3, rtol, atol, K, sign, threshold, piece,
        low, high, out,
    )  # fmt: skip
    phase.evaluations = counts[SPENT]
    found[0] = t
    return counts[CODE] if math.isnan(t) else LANDED
