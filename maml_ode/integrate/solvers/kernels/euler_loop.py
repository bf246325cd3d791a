"""The loop over forward Euler's steps on a native field: it takes those at which nothing happens.

Whatever a step-by-step loop would have to decide something about - a norm at a target or a threshold, a number
that is not finite - ends a call, so that ``maml_ode.integrate.steppers.euler`` decides it as if it had taken the
steps itself.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, REAL, VECTOR
from maml_ode.compiled.decorators import entry
from maml_ode.compiled.fields import FIELD, evaluate
from maml_ode.compiled.scratch import borrowed
from maml_ode.compiled.vectors import copy
from maml_ode.integrate.solvers.kernels.norms import euclidean

# Far above what summing in another order changes, far below what matters.
MARGIN = 1e-9


@entry(
    types.void(
        FIELD, REAL, INDEX, INDEX, INDEX, REAL, REAL, REAL, MATRIX, MATRIX, VECTOR, types.int64[::1]
    )
)
def euler_phase(
    field, step_size, k, room, every, target, sign, threshold, ends, states, norms, done
):
    """Take up to ``room`` steps from iterate ``k``.

    Parameters
    ----------
    field : FIELD
    step_size : float
    k, room, every : int
        Iterates whose number ``every`` divides are kept.
    target : float
        A norm of the field that is worth a look; negative for none.
    sign, threshold : float
        sign (norm - threshold) falls to 0 where a rule is met; sign 0 for no rule.
    ends : ndarray of shape (2, d)
        The iterate and the field there, on the way in and out.
    states, norms : ndarray of shape (rows, d), (rows,)
        Receive the kept iterates and the field's norms there.
    done : ndarray of int, shape (3,)
        Receives how many steps were taken, iterates kept and evaluations made, after every step.
    """
    ends, states, norms, done = borrowed(ends), borrowed(states), borrowed(norms), borrowed(done)
    w, velocity = ends[0], ends[1]
    norm = euclidean(velocity)
    while done[0] < room:
        finite, moved = True, False
        row = states[done[1]]
        for j in range(w.size):
            row[j] = w[j] + step_size * velocity[j]
            finite &= math.isfinite(row[j])
            moved |= np.float64(row[j]).view(np.int64) != np.float64(w[j]).view(np.int64)
        if not finite:
            return
        # At the very same point the field is known, here as to who evaluates it in Python.
        if moved:
            copy(row, w)
            evaluate(field, w, velocity)
            norm = euclidean(velocity)
            done[2] += 1
        norms[done[1]] = norm
        done[0] += 1
        if (k + done[0]) % every == 0:
            done[1] += 1
        if not math.isfinite(norm) or norm <= (1.0 + MARGIN) * target:
            return
        if sign != 0.0 and sign * (norm - threshold) <= MARGIN * threshold:
            return
