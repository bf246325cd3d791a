"""One phase of a block of members in lock-step of stages: all that still run evaluate the same stage together.

Every member has its own time, step size, error control and stop, as in ``members_loop``; one whose trial is
rejected tries again while the others go on, and one that is done leaves the block.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled.batches import BATCH, evaluate_rows, room_for
from maml_ode.compiled.contract import INDEX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.fields import FIELD, with_alpha
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.solvers.control import LARGEST_STEP
from maml_ode.integrate.solvers.kernels.members_loop import (
    INTEGERS,
    METHOD,
    PATHS,
    PHASES,
    TOLERANCES,
    TOTALS,
    begin_member,
    land_member,
)
from maml_ode.integrate.solvers.kernels.norms import euclidean
from maml_ode.integrate.solvers.kernels.phase_record import PHASE
from maml_ode.integrate.solvers.kernels.runge_kutta import stage_state, step_error
from maml_ode.integrate.solvers.kernels.step_control import after_acceptance, after_rejection
from maml_ode.integrate.solvers.kernels.worth_a_look import worth_a_look
from maml_ode.integrate.solvers.member_codes import (
    AT_REST,
    CUT_OFF,
    FRESH,
    GOING,
    IRREGULAR,
    LOOKED_AT,
    OUT_OF_STEPS,
)


@inner(INDEX(PHASE, REAL))
def _choose_step(phase, t):
    """Make the next trial's size ready; return whether there is such a step, and whether one is to be taken."""
    if t >= phase.t_bound:
        return CUT_OFF
    longest = LARGEST_STEP if math.isinf(phase.t_bound) else math.inf
    if abs(t) >= longest:
        return IRREGULAR
    smallest = 10 * abs(np.nextafter(t, math.inf) - t)
    if not phase.trying:
        phase.h = min(min(max(phase.h, smallest), phase.max_step), longest)
        phase.trying, phase.finite, phase.rejected = 1, 1, 0
    if t + phase.h <= phase.t_bound and phase.h < smallest:
        return IRREGULAR
    return GOING


@on_demand(
    types.void(
        FIELD, VECTOR, PHASES, METHOD, TOLERANCES, INDEX, REAL, INDEX, INDEX, PATHS, TOTALS,
        INTEGERS, INDEX, INTEGERS, BATCH,
    ),
    nogil=True,
)  # fmt: skip
def follow_block(
    field, alphas, phases, method, tolerances, order, first, most, look_every, paths, totals,
    members, budget, halt, batch,
):  # fmt: skip
    """Follow a block of members through a phase until all are done or so many evaluations are made.

    The arguments are those of ``members_loop.follow``, with the family's kernels for many points.
    """
    A, error, error_3, dense = method
    rtol, atol = tolerances
    times, states, values, began = paths
    codes, steps, rejected, evaluations, taken = totals
    size, dim = members.size, states.shape[1]
    stages = phases[members[0]].stages
    active = np.empty(size, np.int64)
    h, own_alphas = np.empty(size), np.empty(size)
    rows, fields = np.empty((size, dim)), np.empty((size, dim))
    K = np.zeros((size, A.shape[0], dim))
    numbers = np.empty(room_for(field, size, dim, batch))
    here, norms = np.empty(2), np.empty(2)
    pair, pair_fields = np.empty((2, dim)), np.empty((2, dim))
    interpolant, landing = np.empty((dense.shape[0] + 1, dim)), np.empty((3, dim))
    while True:
        count = 0
        for m in range(size):
            k = members[m]
            alpha = alphas[k] if alphas.size > 0 else field.alpha
            if codes[k] == FRESH:
                room = (here, norms, pair, pair_fields, K[0], interpolant, landing)
                before = evaluations[k]
                codes[k] = begin_member(
                    with_alpha(field, alpha), phases[k], order, first, tolerances, most, paths,
                    totals, k, room,
                )  # fmt: skip
                budget -= evaluations[k] - before
            elif codes[k] == GOING and steps[k] >= most:
                codes[k] = OUT_OF_STEPS
            if codes[k] == GOING:
                codes[k] = _choose_step(phases[k], times[k])
            if codes[k] == GOING:
                active[count], own_alphas[count] = k, alpha
                count += 1
        if count == 0 or budget <= 0 or halt[0] != 0:
            return
        for r in range(count):
            k = active[r]
            t_new = times[k] + phases[k].h
            h[r] = min(t_new, phases[k].t_bound) - times[k]
            copy(values[k], K[r, 0])
        for stage in range(1, stages):
            for r in range(count):
                stage_state(stage, A, states[active[r]], h[r], K[r], rows[r])
            evaluate_rows(field, own_alphas[:count], rows[:count], batch, numbers, fields[:count])
            for r in range(count):
                copy(fields[r], K[r, stage])
        budget -= count * (stages - 1)
        for r in range(count):
            k = active[r]
            phase, last = phases[k], stages - 1
            evaluations[k] += last
            w_old, w, value_old, value = states[k], rows[r], values[k], K[r, last]
            error_size = step_error(error, error_3, h[r], K[r], last, w_old, w, rtol, atol)
            t = times[k]
            if not error_size < 1.0:
                phase.finite = math.isfinite(error_size)
                phase.rejected += 1
                phase.h = h[r] * after_rejection(phase, error_size)
                if t + phase.h == t:
                    codes[k] = IRREGULAR
                continue
            t_new = min(t + phase.h, phase.t_bound)
            phase.h = h[r] * after_acceptance(phase, error_size, h[r])
            phase.trying = 0
            rejected[k] += phase.rejected
            steps[k] += 1
            taken[k] += 1
            norm = euclidean(value)
            look = worth_a_look(phase, h[r], w_old, w, value_old, value, norm)
            here[0], here[1] = t, t_new
            copy(w_old, pair[0])
            copy(w, pair[1])
            copy(value, pair_fields[1])
            times[k], began[k] = t_new, t
            copy(w, states[k])
            copy(pair_fields[1], values[k])
            if look and phase.sign != 0.0 and phase.sign * (norm - phase.threshold) <= 0.0:
                room = (here, norms, pair, pair_fields, K[r], interpolant, landing)
                codes[k] = land_member(
                    with_alpha(field, own_alphas[r]), phase, method, tolerances, paths, totals, k, 1,
                    room,
                )  # fmt: skip
            elif look:
                codes[k] = AT_REST if norm <= phase.target else IRREGULAR
            elif look_every > 0 and taken[k] % look_every == 0:
                codes[k] = LOOKED_AT
