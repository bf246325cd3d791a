"""Affine phases by their closed form in compiled code: the path to their end, and the ends of many members.

Only the plain case: everything that moves decays, and no number overflows. The arithmetic is that of
``maml_ode.integrate.exact`` and ``maml_ode.integrate.steppers.exact``, to rounding; whatever has more to decide is
left to them.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled.closed_forms import BY_RESIDUAL, CLOSED_FORM
from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.scratch import borrowed
from maml_ode.compiled.vector_math import CONTRACT, exp_of, expm1
from maml_ode.integrate.exact import LOGARITHMIC, POINTS, SHARES, SMALL
from maml_ode.integrate.solvers.kernels.closed_form_ends import (
    RATES,
    ROWS,
    end_of_phase,
    moving,
    set_amplitudes,
)
from maml_ode.integrate.solvers.member_codes import IRREGULAR

INDICES = types.int64[::1]


@inner(INDEX(VECTOR, REAL, REAL, REAL))
def _set_times(times, start, last, fastest):
    """Fill in times after ``start`` up to ``last`` that show both the transient and the tail; return how many."""
    duration = last - start
    more = POINTS if fastest * duration > 1.0 else 0
    first = 0.02 / fastest
    ratio = duration / first
    logarithm = math.log(ratio)
    count = i = j = 0
    later = first
    for n in range(POINTS + 1 + more):
        t = last
        if n < POINTS + more:
            if j < more and (i > POINTS or later < SHARES[i] * duration):
                t = start + later
                j += 1
                later = first * ratio
                if j < POINTS - 1:
                    later = first * exp_of(logarithm * LOGARITHMIC[j])
            else:
                t = start + SHARES[i] * duration
                i += 1
        if t > start and t <= last and (count == 0 or times[count - 1] != t):
            times[count] = t
            count += 1
    return count


@inner(types.void(VECTOR, MATRIX, MATRIX, INDEX, INDEX, VECTOR, VECTOR), fastmath=CONTRACT)
def _add_two(state, ways, decays, j, following, p, q):
    """Fill p and q with the coordinates j and ``following`` of all states: every decay is read once for both."""
    n, whole = len(decays), len(decays) - len(decays) % 4
    for i in range(p.size):
        p[i], q[i] = state[j], state[following]
    for k in range(0, whole, 4):
        a, b, c, e = ways[k, j], ways[k + 1, j], ways[k + 2, j], ways[k + 3, j]
        f, g = ways[k, following], ways[k + 1, following]
        h, m = ways[k + 2, following], ways[k + 3, following]
        for i in range(p.size):
            r, s, t, u = decays[k, i], decays[k + 1, i], decays[k + 2, i], decays[k + 3, i]
            p[i] += (a * r + b * s) + (c * t + e * u)
            q[i] += (f * r + g * s) + (h * t + m * u)
    for k in range(whole, n):
        a, f = ways[k, j], ways[k, following]
        for i in range(p.size):
            p[i] += a * decays[k, i]
            q[i] += f * decays[k, i]


@inner(types.void(VECTOR, MATRIX, MATRIX, INDEX, REAL, VECTOR, MATRIX, MATRIX, MATRIX))
def _set_states(state, motion, ways, count, start, times, decays, path, states):
    """Fill in the states at ``times``, one a row.

    Scratch are ``decays``, a row for each part that moves, and ``path``, d rows or one more to be even.
    """
    n, d = times.size, state.size
    decays, path = borrowed(decays), borrowed(path)
    for k in range(count):
        for i in range(n):
            decays[k, i] = -motion[RATES, k] * (times[i] - start)
        expm1(decays[k])
    for j in range(0, d, 2):
        _add_two(state, ways, decays, j, min(j + 1, d - 1), path[j], path[j + 1])
    for i in range(n):
        for j in range(d):
            states[i, j] = path[j, i]


@on_demand(
    types.void(
        CLOSED_FORM, MATRIX, MATRIX, VECTOR, VECTOR, REAL, REAL, INDICES, INDICES, VECTOR, INDICES
    )
)
def exact_members(form, W, amplitudes, t, own, tol, t_max, which, codes, norms, evaluations):
    """Follow one phase of many members to its end; ``W`` and ``t`` become their ends.

    Parameters
    ----------
    form : CLOSED_FORM
    W, amplitudes : ndarray of shape (K, d)
        Where all members are, and the field's components there; those of a residual field are found here.
    t, own : ndarray of shape (K,)
        Their times, and the norm at which the phase ends by its rule.
    tol, t_max : float
    which : ndarray of int
        The members that are followed.
    codes, norms, evaluations : ndarray of shape (K,)
        Receive what ended each phase, the norm there or NaN, and how many evaluations that took.
    """
    d = W.shape[1]
    state, parts, end_state = np.empty(d), np.empty(d), np.empty(d)
    motion, ways = np.empty((ROWS, d)), np.empty((d, d))
    for m in range(which.size):
        k = which[m]
        for j in range(d):
            state[j] = W[k, j]
        if form.kind == BY_RESIDUAL:
            set_amplitudes(form, state, parts)
        else:
            for j in range(d):
                parts[j] = amplitudes[k, j]
        count = moving(form, parts, motion, ways)
        codes[k], norms[k], evaluations[k] = IRREGULAR, math.nan, 0
        if count < 0:
            continue
        code, end, norm, tries = end_of_phase(
            form, state, motion, ways, count, t[k], own[k], tol, t_max, end_state
        )
        known = math.isfinite(end)
        for j in range(d):
            known &= math.isfinite(end_state[j])
        if code == IRREGULAR or not known:
            continue
        codes[k], norms[k], evaluations[k], t[k] = code, norm, tries, end
        for j in range(d):
            W[k, j] = end_state[j]


@on_demand(
    types.Tuple((INDEX, INDEX, REAL, INDEX))(
        CLOSED_FORM, VECTOR, VECTOR, REAL, REAL, REAL, REAL, VECTOR, MATRIX
    )
)
def exact_phase(form, state, amplitudes, start, own, tol, t_max, times, states):
    """Follow one phase to its end; return what ended it, points, the norm at the end or NaN, and evaluations.

    Parameters
    ----------
    form : CLOSED_FORM
    state, amplitudes : ndarray of shape (d,)
        Where the phase begins, and the field's components there; those of a residual field are found here.
    start, own, tol, t_max : float
        As in ``closed_form_ends.end_of_phase``.
    times, states : ndarray of shape (2 POINTS + 1,), (2 POINTS + 1, d)
        Receive the path without its start.
    """
    d = state.size
    state = borrowed(state)
    if form.kind == BY_RESIDUAL:
        amplitudes = np.empty(d)
        set_amplitudes(form, state, amplitudes)
    motion, ways, end_state = np.empty((ROWS, d)), np.empty((d, d)), np.empty(d)
    count = moving(form, amplitudes, motion, ways)
    if count < 0:
        return IRREGULAR, 0, math.nan, 0
    code, end, norm, tries = end_of_phase(
        form, state, motion, ways, count, start, own, tol, t_max, end_state
    )
    if code == IRREGULAR:
        return IRREGULAR, 0, math.nan, tries
    if not end > start:
        return code, 0, norm, tries
    fastest = 0.0
    for k in range(count):
        fastest = max(fastest, motion[RATES, k])
    points = _set_times(times, start, end, fastest if count > 0 else 1.0)
    if not times[0] - start > SMALL:
        return IRREGULAR, 0, math.nan, tries
    decays, path = np.empty((count, points)), np.empty((d + d % 2, points))
    _set_states(state, motion, ways[:count], count, start, times[:points], decays, path, states)
    for j in range(d):
        if not math.isfinite(end_state[j]):
            return IRREGULAR, 0, math.nan, tries
        states[points - 1, j] = end_state[j]  # where the norm was evaluated
    return code, points, norm, tries
