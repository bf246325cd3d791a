"""Where an affine phase in which everything decays ends, by its closed form in compiled code."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled.closed_forms import BY_RESIDUAL, CLOSED_FORM
from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner
from maml_ode.compiled.scratch import borrowed, matrix_in, stack
from maml_ode.compiled.vector_math import CONTRACT, exp_of, expm1
from maml_ode.integrate.exact import (
    AIMED_BELOW,
    GROWTH,
    LAST_SHARES,
    LEAST_EXCESS,
    MOST_TANGENTS,
    NO_FURTHER,
    SMALL,
)
from maml_ode.integrate.solvers.kernels.norms import euclidean
from maml_ode.integrate.solvers.member_codes import AT_REST, CROSSED, CUT_OFF, IRREGULAR

SUMS = {"reassoc", "contract", "nsz"}
LARGEST_SHARE = LAST_SHARES[0]
# Of what moves: the rates, 2 log |a| and 2 rate/fastest, as rows.
RATES, LOGARITHMS, DECAYS, ROWS = range(4)


@inner(REAL(VECTOR, VECTOR), fastmath=SUMS)
def _dot(a, b):
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@inner(types.void(MATRIX, VECTOR, VECTOR), fastmath=CONTRACT)
def _add_rows(rows, factors, out):
    """Add sum_k factors[k] rows[k] to out, four rows at a time."""
    n, whole = len(rows), len(rows) - len(rows) % 4
    for k in range(0, whole, 4):
        a, b, c, e = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
        for i in range(out.size):
            out[i] += (a * rows[k, i] + b * rows[k + 1, i]) + (
                c * rows[k + 2, i] + e * rows[k + 3, i]
            )
    for k in range(whole, n):
        a = factors[k]
        for i in range(out.size):
            out[i] += a * rows[k, i]


@inner(types.void(CLOSED_FORM, VECTOR, VECTOR))
def set_amplitudes(form, w, out):
    """Fill out with the amplitudes of a residual field at ``w``."""
    rows, left, reduced = borrowed(form.rows), borrowed(form.left), borrowed(form.reduced)
    rest = matrix_in(stack(), 1, reduced.size)[0]
    for i in range(rest.size):
        rest[i] = reduced[i] - _dot(rows[i], w)
    for k in range(out.size):
        out[k] = _dot(left[k], rest)


@inner(REAL(CLOSED_FORM, VECTOR))
def _field_norm(form, w):
    """Return the norm of the field evaluated at ``w``."""
    matrix, target = borrowed(form.matrix), borrowed(form.target)
    value = matrix_in(stack(), 1, w.size)[0]
    if form.kind != BY_RESIDUAL:
        for k in range(w.size):
            value[k] = target[k] - _dot(matrix[k], w)
        return euclidean(value)
    weights = borrowed(form.weights)
    rest, minus = matrix_in(stack(), 1, target.size)[0], matrix_in(stack(), 1, w.size)[0]
    for i in range(rest.size):
        rest[i] = target[i]
    for k in range(w.size):
        minus[k] = -w[k]
    _add_rows(matrix, minus, rest)
    for i in range(rest.size):
        rest[i] *= weights[i]
    for k in range(w.size):
        value[k] = _dot(matrix[k], rest)
    return euclidean(value)


@inner(INDEX(CLOSED_FORM, VECTOR, MATRIX, MATRIX))
def moving(form, amplitudes, motion, ways):
    """Gather what moves; return how many, or -1 where that is not plain.

    ``motion`` receives RATES, LOGARITHMS and DECAYS, ``ways`` the eigenvectors times -a/lambda: the state is w0
    plus the sum of these times exp(-lambda tau) - 1.
    """
    values, vectors = borrowed(form.values), borrowed(form.vectors)
    count, fastest = 0, 0.0
    for j in range(amplitudes.size):
        a, rate = amplitudes[j], values[j]
        if a == 0.0:
            continue
        if not math.isfinite(a) or not rate > SMALL:
            return -1
        settled = -(a / rate)
        if not math.isfinite(settled):
            return -1
        motion[RATES, count], motion[LOGARITHMS, count] = rate, 2.0 * math.log(abs(a))
        for k in range(amplitudes.size):
            ways[count, k] = vectors[j, k] * settled
        fastest = max(fastest, rate)
        count += 1
    for k in range(count):
        motion[DECAYS, k] = 2.0 * (motion[RATES, k] / fastest)
    return count


@inner(types.UniTuple(REAL, 2)(MATRIX, INDEX, REAL))
def _log_norm(motion, count, theta):
    """Return log ||field|| after the time theta/fastest and its derivative with respect to theta."""
    if count == 0:
        return -math.inf, 0.0
    exponents = matrix_in(stack(), 1, count)[0]
    top = -math.inf
    for k in range(count):
        exponents[k] = motion[LOGARITHMS, k] - motion[DECAYS, k] * theta
        top = max(top, exponents[k])
    total = slope = 0.0
    for k in range(count):
        exponents[k] = exp_of(exponents[k] - top)
    for k in range(count):
        total += exponents[k]
        slope += motion[DECAYS, k] * exponents[k]
    return 0.5 * (top + math.log(total)), -0.5 * slope / total


@inner(REAL(MATRIX, INDEX, REAL, REAL))
def _time_to_norm(motion, count, fastest, threshold):
    """Return when the norm is at most ``threshold``, infinite if never, NaN where tangents do not come to it."""
    if threshold < 0.0:
        return math.inf
    target = math.log(threshold) if threshold > 0.0 else -math.inf
    value, slope = _log_norm(motion, count, 0.0)
    if value <= target:
        return 0.0
    if target == -math.inf:
        return math.inf
    theta = 0.0
    for _ in range(MOST_TANGENTS):
        if not (slope < 0.0 and theta < 1e300):
            return math.nan
        following = theta + (target - value) / slope
        done = following - theta <= NO_FURTHER * theta
        theta = following
        if done:
            break
        value, slope = _log_norm(motion, count, theta)
        if value <= target:
            done = True
            break
    if not done:
        return math.nan
    tau = theta / fastest
    if not math.isfinite(tau):
        return math.nan
    # Just past the root rather than just before it.
    for _ in range(8):
        value, slope = _log_norm(motion, count, tau * fastest)
        if value <= target or slope >= 0.0:
            break
        tau = max(tau + (target - value) / (slope * fastest), np.nextafter(tau, math.inf))
    return tau


@inner(types.void(VECTOR, MATRIX, MATRIX, INDEX, REAL, VECTOR))
def _move(state, motion, ways, count, tau, out):
    """Fill out with the state after a time ``tau``."""
    decays = matrix_in(stack(), 1, count)[0]
    for k in range(count):
        decays[k] = -motion[RATES, k] * tau
    expm1(decays)
    for j in range(out.size):
        out[j] = state[j]
    _add_rows(ways[:count], decays, out)


@inner(
    types.Tuple((INDEX, REAL, REAL, INDEX))(
        CLOSED_FORM, VECTOR, MATRIX, MATRIX, INDEX, REAL, REAL, REAL, REAL, VECTOR
    )
)
def end_of_phase(form, state, motion, ways, count, start, own, tol, t_max, out):
    """Return what ends the phase, when, the norm evaluated there or NaN, and how many evaluations that took.

    ``out`` receives the state. ``own`` is the norm at which the phase ends by its rule, negative if it has none.
    """
    fastest = 1.0
    if count > 0:
        fastest = 0.0
        for k in range(count):
            fastest = max(fastest, motion[RATES, k])
    threshold = -math.inf
    if tol > 0.0 or own >= 0.0:
        threshold = max(tol, own)
    switches = own >= 0.0 and own >= tol
    tau, tries, aimed = _time_to_norm(motion, count, fastest, threshold), 0, 0.0
    end = start + tau
    if math.isnan(tau) or (math.isinf(end) and math.isinf(t_max)):
        return IRREGULAR, end, math.nan, tries
    if end > t_max:
        _move(state, motion, ways, count, t_max - start, out)
        return CUT_OFF, t_max, math.nan, tries
    _move(state, motion, ways, count, end - start, out)
    if switches:
        return CROSSED, end, math.nan, tries
    while True:
        size = _field_norm(form, out)
        tries += 1
        if size <= threshold:
            return AT_REST, end, size, tries
        if tries == 1:
            aimed = AIMED_BELOW * max(size / threshold - 1.0, LEAST_EXCESS)
        if not aimed < 1.0 - LARGEST_SHARE:
            return IRREGULAR, end, size, tries
        tau = _time_to_norm(motion, count, fastest, (1.0 - aimed) * threshold)
        aimed *= GROWTH
        end = start + tau
        if not end <= t_max:
            return IRREGULAR, end, size, tries
        _move(state, motion, ways, count, end - start, out)
