"""One phase of many members of an ensemble, member after member, in compiled code.

Every member takes the steps that a run by itself takes, with the same numbers. What the loop over steps cannot
decide by itself - a norm that hovers or may have dipped inside a step, a step that is not possible, a landing that
needs the general search - makes a member irregular: it is left to a run of its own.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.fields import FIELD, evaluate, with_alpha
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.solvers.kernels.landing import UNLIMITED, begin_again, land
from maml_ode.integrate.solvers.kernels.norms import euclidean
from maml_ode.integrate.solvers.kernels.phase_loop import explicit_phase
from maml_ode.integrate.solvers.kernels.phase_record import PHASE
from maml_ode.integrate.solvers.kernels.runge_kutta import interpolant_rows, native_stages
from maml_ode.integrate.solvers.kernels.step_control import first_step, is_finite
from maml_ode.integrate.solvers.landings import LANDED
from maml_ode.integrate.solvers.member_codes import (
    AT_REST,
    CROSSED,
    CUT_OFF,
    FRESH,
    GOING,
    IRREGULAR,
    LOOKED_AT,
    OUT_OF_STEPS,
)
from maml_ode.integrate.solvers.pauses import FAILURES, LOOK

ROWS = 16
INTEGERS = types.int64[::1]
PHASES = types.Array(PHASE, 1, "C")

# The method: A, the error weights, the second ones if there are any, the rows of its interpolant.
METHOD = types.Tuple((MATRIX, VECTOR, VECTOR, MATRIX))
# rtol and atol, one entry per component.
TOLERANCES = types.Tuple((VECTOR, VECTOR))
# Per member: times, states, the field there; the time at which the last step began.
PATHS = types.Tuple((VECTOR, MATRIX, MATRIX, VECTOR))
# Per member: what has become of it, its steps, and in this phase its rejected trials, evaluations and steps.
TOTALS = types.UniTuple(INTEGERS, 5)
# A call's room to work in: times, norms, states, values, stages, a row of interpolants, landing.
ROOM = types.Tuple((VECTOR, VECTOR, MATRIX, MATRIX, MATRIX, MATRIX, MATRIX))


@inner(INDEX(FIELD, PHASE, INDEX, REAL, TOLERANCES, INDEX, PATHS, TOTALS, INDEX, ROOM))
def begin_member(field, phase, order, first, tolerances, most, paths, totals, k, room):
    """Look at the state in which member k's phase begins; set its record if it goes on."""
    times, states, values, _ = paths
    _, steps, _, evaluations, _ = totals
    w, value, target, sign = states[k], values[k], phase.target, phase.sign
    threshold, watches, end = phase.threshold, phase.watches_stall, phase.t_bound
    evaluate(field, w, value)
    evaluations[k] += 1
    if not is_finite(value):
        return IRREGULAR
    norm = euclidean(value)
    if sign != 0.0 and sign * (norm - threshold) <= 0.0:
        return CROSSED
    if target > 0.0 and norm <= target:
        return AT_REST
    if steps[k] >= most:
        return OUT_OF_STEPS
    if times[k] >= end:
        return CUT_OFF
    length = end - times[k]
    h = min(first, length)
    if math.isnan(first):
        h, spent = first_step(
            field, times[k], 1.0, length, phase.max_step, order - 1, *tolerances, w, value,
            room[2][0], room[3][0],
        )  # fmt: skip
        evaluations[k] += spent
    begin_again(phase, h, end)
    phase.target, phase.sign, phase.threshold, phase.watches_stall = (
        target,
        sign,
        threshold,
        watches,
    )
    return GOING


@inner(INDEX(FIELD, PHASE, METHOD, TOLERANCES, PATHS, TOTALS, INDEX, INDEX, ROOM))
def land_member(field, phase, method, tolerances, paths, totals, k, n, room):
    """Take member k to where its rule is met in the step that has come to row n of the room."""
    A, error, error_3, dense = method
    rtol, atol = tolerances
    times, states, _, _ = paths
    evaluations = totals[3]
    here, _, rows, fields, K, interpolant, landing = room
    t_old, w_old, t, w = here[n - 1], rows[n - 1], here[n], rows[n]
    h = t - t_old
    known, value, out = landing[0], landing[1], landing[2]
    if A.shape[0] > phase.stages:
        native_stages(field, phase.stages, A.shape[0], A, w_old, h, K, out)
        evaluations[k] += A.shape[0] - phase.stages
    interpolant_rows(dense, K, h, w_old, w, interpolant)
    copy(w, known)
    copy(fields[n], value)
    sign, threshold = phase.sign, phase.threshold
    phase.most_evaluations = UNLIMITED
    found = np.empty(1)
    code = land(
        field, phase, A, error, error_3, rtol, atol, K, sign, threshold,
        (t_old, h, w_old, interpolant), t_old, t, known, value, found, out,
    )  # fmt: skip
    evaluations[k] += phase.evaluations
    if code != LANDED:
        return IRREGULAR
    times[k] = found[0]
    copy(out, states[k])
    return CROSSED


@inner(INDEX(FIELD, PHASE, METHOD, TOLERANCES, INDEX, INDEX, INDEX, PATHS, TOTALS, INDEX, ROOM))
def _advance(field, phase, method, tolerances, most, look_every, pause, paths, totals, k, room):
    """Take some steps with member k; return what has become of it."""
    A, error, error_3, _ = method
    rtol, atol = tolerances
    times, states, values, began = paths
    _, steps, rejected, evaluations, taken = totals
    here, norms, rows, fields, K, _, _ = room
    if steps[k] >= most:
        return OUT_OF_STEPS
    if times[k] >= phase.t_bound:
        return CUT_OFF
    here[0] = times[k]
    copy(states[k], rows[0])
    copy(values[k], fields[0])
    phase.room = min(ROWS, most - steps[k])
    if look_every > 0:
        phase.room = min(phase.room, look_every - taken[k] % look_every)
    phase.pause, phase.most_evaluations = pause, UNLIMITED
    code = explicit_phase(field, phase, A, error, error_3, rtol, atol, here, rows, fields, norms, K)
    n = phase.steps
    steps[k] += n
    taken[k] += n
    rejected[k] += phase.rejections
    evaluations[k] += phase.evaluations
    if code in FAILURES:
        return IRREGULAR
    if n == 0:
        return GOING
    times[k], began[k] = here[n], here[n - 1]
    copy(rows[n], states[k])
    copy(fields[n], values[k])
    if code == LOOK:
        if phase.sign != 0.0 and phase.sign * (norms[n] - phase.threshold) <= 0.0:
            return land_member(field, phase, method, tolerances, paths, totals, k, n, room)
        return AT_REST if norms[n] <= phase.target else IRREGULAR
    return LOOKED_AT if look_every > 0 and taken[k] % look_every == 0 else GOING


@on_demand(
    types.void(
        FIELD, VECTOR, PHASES, METHOD, TOLERANCES, INDEX, REAL, INDEX, INDEX, PATHS, TOTALS,
        INTEGERS, INTEGERS, INDEX, INTEGERS,
    ),
    nogil=True,
)  # fmt: skip
def follow(
    field, alphas, phases, method, tolerances, order, first, most, look_every, paths, totals,
    members, cursor, budget, halt,
):  # fmt: skip
    """Follow members through a phase until all are done or so many evaluations are made.

    Parameters
    ----------
    field : FIELD
        The phase's field.
    alphas : ndarray of shape (K,) or (0,)
        An inner step size for every member; none where the field's own is everybody's.
    phases : ndarray of PHASE, shape (K,)
        ``target``, ``sign``, ``threshold``, ``watches_stall`` and ``t_bound`` are set where a phase is to begin.
    method, tolerances : tuple
    order : int
        Of the error estimate.
    first : float
        The first step's size; NaN where it is to be found.
    most, look_every : int
        Limit on steps, and after how many the spectrum is to be looked at; 0 for never.
    paths, totals : tuple
        What is known of the members.
    members : ndarray of shape (m,)
        Those to follow.
    cursor : ndarray of shape (2,)
        The next one's place among them, and where to end.
    budget : int
        Evaluations after which to come back.
    halt : ndarray of shape (1,)
        Not 0 once the call is to come back at once.
    """
    A, _, _, dense = method
    dim = paths[1].shape[1]
    room = (
        np.empty(ROWS + 1), np.empty(ROWS + 1), np.empty((ROWS + 1, dim)),
        np.empty((ROWS + 1, dim)), np.zeros((A.shape[0], dim)),
        np.empty((dense.shape[0] + 1, dim)), np.empty((3, dim)),
    )  # fmt: skip
    codes, evaluations = totals[0], totals[3]
    while cursor[0] < cursor[1]:
        k = members[cursor[0]]
        own = with_alpha(field, alphas[k]) if alphas.size > 0 else field
        phase = phases[k]
        while codes[k] == FRESH or codes[k] == GOING:
            if budget <= 0 or halt[0] != 0:
                return
            before = evaluations[k]
            if codes[k] == FRESH:
                codes[k] = begin_member(
                    own, phase, order, first, tolerances, most, paths, totals, k, room
                )
            else:
                codes[k] = _advance(
                    own, phase, method, tolerances, most, look_every, budget, paths, totals, k, room
                )
            budget -= evaluations[k] - before
        cursor[0] += 1
