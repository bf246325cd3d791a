"""The loop over the iterates of heavy ball and of Nesterov's method: it takes those at which nothing happens.

As ``maml_ode.integrate.solvers.kernels.euler_loop``, for fields of second order on z = (w, v), or (w, v, t); the
formulas are those of ``maml_ode.flows.second_order_fields``, operation by operation.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.fields import FIELD, evaluate
from maml_ode.compiled.scratch import borrowed, matrix_in, stack
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.solvers.kernels.euler_loop import MARGIN
from maml_ode.integrate.solvers.kernels.norms import euclidean

# What was done: steps, iterates kept, evaluations of the force, and looks at it in w alone.
STEPS, ROWS, EVALUATIONS, LOOKS = range(4)


@inner(types.void(VECTOR, REAL, REAL, VECTOR))
def look_ahead(z, step_size, friction, out):
    """Fill out with the point at which the force is evaluated: w itself where the state has no clock."""
    d, factor = out.size, 0.0
    if z.size > 2 * d:
        k = round(z[2 * d] / step_size)
        if k > 0:
            factor = ((k - 1.0) / (k + friction - 1.0)) * step_size
        for j in range(d):
            out[j] = z[j] + factor * z[d + j]
    else:
        for j in range(d):
            out[j] = z[j]


@inner(types.boolean(VECTOR, VECTOR, VECTOR, REAL, REAL, VECTOR))
def _advance(z, ahead, force, step_size, friction, out):
    """Fill out with the next state; return whether it is finite."""
    d, finite = ahead.size, True
    if z.size > 2 * d:
        for j in range(d):
            out[j] = ahead[j] + (step_size * step_size) * force[j]
            out[d + j] = (out[j] - z[j]) / step_size
        out[2 * d] = (round(z[2 * d] / step_size) + 1) * step_size
    else:
        kept = 1.0 - friction * step_size
        for j in range(d):
            out[d + j] = kept * z[d + j] + step_size * force[j]
            out[j] = z[j] + step_size * out[d + j]
    for j in range(z.size):
        finite &= math.isfinite(out[j])
    return finite


@on_demand(
    types.void(
        FIELD, REAL, REAL, INDEX, INDEX, INDEX, REAL, REAL, REAL, VECTOR, VECTOR, VECTOR, MATRIX,
        types.int64[::1],
    )
)  # fmt: skip
def second_order_euler(
    field,
    step_size,
    friction,
    k,
    room,
    every,
    target,
    sign,
    threshold,
    z,
    ahead,
    force,
    states,
    done,
):
    """Take up to ``room`` steps from iterate ``k``.

    Parameters
    ----------
    field : FIELD
        The force -grad F.
    step_size, friction : float
        The friction c, or r where the state shows the time.
    k, room, every : int
        Iterates whose number ``every`` divides are kept.
    target : float
        A norm, of the force and of v the larger one, that is worth a look; negative for none.
    sign, threshold : float
        sign (||grad F(w)|| - threshold) falls to 0 where a rule is met; sign 0 for no rule.
    z : ndarray of shape (m,)
        The iterate, on the way in and out.
    ahead, force : ndarray of shape (d,)
        Where the force was evaluated last, and the force there, likewise: on the way in, where the iterate's
        algorithm evaluates it.
    states : ndarray of shape (rows, m)
        Receives the kept iterates.
    done : ndarray of int, shape (4,)
        Receives what was done, after every step.
    """
    z, ahead, force = borrowed(z), borrowed(ahead), borrowed(force)
    states, done = borrowed(states), borrowed(done)
    d = ahead.size
    place, at_w = matrix_in(stack(), 1, d)[0], matrix_in(stack(), 1, d)[0]
    # Nesterov's method does not evaluate the force in w, where a rule looks.
    apart = sign != 0.0 and z.size > 2 * d
    pull = euclidean(force)
    while done[STEPS] < room:
        row = states[done[ROWS]]
        if not _advance(z, ahead, force, step_size, friction, row):
            return
        copy(row, z)
        done[STEPS] += 1
        if (k + done[STEPS]) % every == 0:
            done[ROWS] += 1
        if apart:
            evaluate(field, z[:d], at_w)
            done[LOOKS] += 1
            norm = euclidean(at_w)
            if not math.isfinite(norm) or sign * (norm - threshold) <= MARGIN * threshold:
                return
        look_ahead(z, step_size, friction, place)
        moved = False
        for j in range(d):
            moved |= np.float64(place[j]).view(np.int64) != np.float64(ahead[j]).view(np.int64)
        if moved:
            copy(place, ahead)
            evaluate(field, ahead, force)
            pull = euclidean(force)
            done[EVALUATIONS] += 1
        speed = euclidean(z[d : 2 * d])
        if not (math.isfinite(pull) and math.isfinite(speed)):
            return
        if max(pull, speed) <= (1.0 + MARGIN) * target:
            return
        if sign != 0.0 and not apart and sign * (pull - threshold) <= MARGIN * threshold:
            return
