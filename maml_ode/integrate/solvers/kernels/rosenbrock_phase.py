"""The loop over the steps of a phase for Rosenbrock methods on a native gradient field of few parameters.

As ``maml_ode.integrate.solvers.kernels.phase_loop``; the steps are those of
``maml_ode.integrate.solvers.rosenbrock``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled import matrices
from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.fields import AFFINE, FIELD, evaluate
from maml_ode.compiled.scratch import borrowed
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.solvers.control import LARGEST_STEP
from maml_ode.integrate.solvers.kernels.factors import CHOLESKY, NONE, PIVOTS, factorize
from maml_ode.integrate.solvers.kernels.norms import euclidean, weighted_rms
from maml_ode.integrate.solvers.kernels.phase_record import PHASE
from maml_ode.integrate.solvers.kernels.rosenbrock import native_stages, new_state
from maml_ode.integrate.solvers.kernels.step_control import after_acceptance, after_rejection
from maml_ode.integrate.solvers.kernels.worth_a_look import worth_a_look
from maml_ode.integrate.solvers.pauses import (
    BEYOND,
    JACOBIAN,
    LIMIT,
    LOOK,
    NOT_FINITE,
    PAUSED,
    TOO_SMALL,
)

_ACCEPTED = -1
# A, C and m of the tableau.
TABLEAU = types.Tuple((MATRIX, MATRIX, VECTOR, REAL))
# U, J, its factor, and two vectors to work in.
MEMORY = types.Tuple((MATRIX, MATRIX, MATRIX, PIVOTS, MATRIX))
# How many Jacobians were evaluated and factorisations made.
JACOBIANS, FACTORIZATIONS = range(2)


@inner(types.boolean(FIELD, VECTOR, MATRIX))
def _jacobian(field, w, J):
    """Fill J with minus the Hessian at ``w``; return whether it is finite."""
    if field.kind == AFFINE:
        for i in range(w.size):
            for j in range(w.size):
                J[i, j] = field.matrix[i, j]
    else:
        matrices.hessian(field.problem, field.query, w, field.alpha, field.inner_steps, J)
    finite = True
    for i in range(w.size):
        for j in range(w.size):
            J[i, j] = -J[i, j]
            finite &= math.isfinite(J[i, j])
    return finite


@inner(types.boolean(VECTOR, VECTOR))
def _same(before, after):
    same = True
    for k in range(before.size):
        same &= np.float64(before[k]).view(np.int64) == np.float64(after[k]).view(np.int64)
    return same


@inner(
    INDEX(
        FIELD,
        PHASE,
        TABLEAU,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        MEMORY,
        PIVOTS,
    )
)
def _step(field, phase, tableau, rtol, atol, ends, y, y_new, f, f_new, memory, counts):
    """Try steps from ends[0] until one is accepted; ends[1] receives where it ends."""
    A, C, m, gamma = tableau
    U, J, factor, pivots, work = memory
    t = ends[0]
    longest = LARGEST_STEP if math.isinf(phase.t_bound) else math.inf
    if abs(t) >= longest:
        return BEYOND
    smallest = 10 * abs(np.nextafter(t, math.inf) - t)
    if not phase.trying:
        if phase.evaluations >= phase.most_evaluations:
            return LIMIT
        if not _jacobian(field, y, J):
            return JACOBIAN
        counts[JACOBIANS] += 1
        phase.h = min(min(max(phase.h, smallest), phase.max_step), longest)
        phase.trying, phase.finite, phase.rejected = 1, 1, 0
    while True:
        t_new = t + phase.h
        if t_new > phase.t_bound:
            t_new = phase.t_bound
        elif phase.h < smallest:
            return TOO_SMALL if phase.finite else NOT_FINITE
        if phase.evaluations >= phase.pause:
            return PAUSED
        h = t_new - t
        kind, tried = factorize(J, gamma * h, True, factor, pivots)
        counts[FACTORIZATIONS] += tried
        size = math.inf
        if kind != NONE:
            if phase.evaluations >= phase.most_evaluations:
                return LIMIT
            phase.evaluations += phase.stages - 1
            exchanged = pivots[:0] if kind == CHOLESKY else pivots
            native_stages(field, A, C, gamma, h, factor, exchanged, y, f, U, work[0], work[1])
            new_state(m, y, U, y_new)
            size = weighted_rms(U[phase.stages - 1], y, y_new, rtol, atol)
        if size < 1.0:
            break
        phase.finite = math.isfinite(size)
        phase.rejected += 1
        phase.h = h * after_rejection(phase, size)
        if t + phase.h == t:
            return TOO_SMALL if phase.finite else NOT_FINITE
    phase.rejections += phase.rejected
    if _same(y, y_new):
        copy(f, f_new)
    elif phase.evaluations >= phase.most_evaluations:
        return LIMIT
    else:
        phase.evaluations += 1
        evaluate(field, y_new, f_new)
    ends[1] = t_new
    phase.h = h * after_acceptance(phase, size, h)
    phase.trying = 0
    return _ACCEPTED


@on_demand(
    INDEX(
        FIELD, PHASE, TABLEAU, VECTOR, VECTOR, VECTOR, MATRIX, MATRIX, VECTOR, MEMORY, PIVOTS
    )
)  # fmt: skip
def rosenbrock_phase(
    field, phase, tableau, rtol, atol, times, states, values, norms, memory, counts
):
    """Take steps from row 0 of ``times``, ``states`` and ``values``; return why it came back.

    Parameters
    ----------
    field : FIELD
        A gradient field, with the kernels of third order in place.
    phase : PHASE
    tableau : TABLEAU
    rtol, atol : ndarray of shape (d,)
    times, states, values, norms : ndarray of ``room`` + 1 rows
        Times, states, the field there and its norm.
    memory : MEMORY
        Kept between calls.
    counts : ndarray of int, shape (2,)
        Receives how many Jacobians were evaluated and factorisations made.
    """
    A, C, m, gamma = tableau
    tableau = borrowed(A), borrowed(C), borrowed(m), gamma
    U, J, factor, pivots, work = memory
    memory = borrowed(U), borrowed(J), borrowed(factor), borrowed(pivots), borrowed(work)
    rtol, atol, times, norms = borrowed(rtol), borrowed(atol), borrowed(times), borrowed(norms)
    states, values, counts = borrowed(states), borrowed(values), borrowed(counts)
    phase.steps = phase.evaluations = phase.rejections = 0
    counts[JACOBIANS] = counts[FACTORIZATIONS] = 0
    while phase.steps < phase.room:
        n = phase.steps
        code = _step(
            field, phase, tableau, rtol, atol, times[n : n + 2], states[n], states[n + 1],
            values[n], values[n + 1], memory, counts,
        )  # fmt: skip
        if code != _ACCEPTED:
            return code
        phase.steps = n + 1
        norm = norms[n + 1] = euclidean(values[n + 1])
        h = times[n + 1] - times[n]
        if not math.isfinite(norm) or worth_a_look(
            phase, h, states[n], states[n + 1], values[n], values[n + 1], norm
        ):
            return LOOK
        if times[n + 1] >= phase.t_bound or phase.evaluations >= phase.pause:
            break
    return PAUSED
