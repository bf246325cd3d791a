"""What single tasks contribute to the MAML loss, its gradient and its products: a share of the tasks in each call.

Row i belongs to task i and is without its weight, so that threads may each fill the rows of other tasks: the
interpreter's lock is free meanwhile. Added up in the order of the tasks, rows give the sums of
``maml_ode.compiled.maml`` and ``maml_ode.compiled.hvp`` to the last bit, whoever has filled them.
"""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import on_demand
from maml_ode.compiled.derivatives import ALONE, PRODUCTS, THIRDS
from maml_ode.compiled.hvp import task_hvp
from maml_ode.compiled.maml import (
    inner_path,
    take_step,
    tapes_for,
    task_first_order_gradient,
    task_gradient,
)
from maml_ode.compiled.scratch import stack
from maml_ode.compiled.vectors import copy


@on_demand(types.void(PROBLEM, MATRIX, VECTOR))
def add_up(problem, rows, out):
    """Out = sum_i p_i rows[i], in the order of the tasks; several rows of a task stand one after another."""
    each = rows.shape[0] // problem.weights.size
    out[:] = 0.0
    for r in range(rows.shape[0]):
        p = problem.weights[r // each]
        for k in range(out.size):
            out[k] += p * rows[r, k]


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, INDEX, INDEX, MATRIX), nogil=True)
def values(problem, query, w, alpha, inner_steps, first, last, rows):
    """rows[i, 0] = g_i(u_k)."""
    path = np.empty((inner_steps + 1, w.size))
    tapes = tapes_for(problem, problem, inner_steps, ALONE, stack())
    scratch = np.empty(w.size)
    copy(w, path[0])
    for i in range(first, last):
        inner_path(problem, i, alpha, path, ALONE, tapes, scratch)
        rows[i, 0] = query.loss(i, path[len(path) - 1], query.data)


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, INDEX, INDEX, MATRIX), nogil=True)
def gradients(problem, query, w, alpha, inner_steps, first, last, rows):
    """rows[i] = grad F_i(w)."""
    path = np.empty((inner_steps + 1, w.size))
    tapes = tapes_for(problem, query, inner_steps, PRODUCTS, stack())
    product = np.empty(w.size)
    copy(w, path[0])
    for i in range(first, last):
        task_gradient(problem, query, i, alpha, path, tapes, product, rows[i])


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, INDEX, INDEX, MATRIX), nogil=True)
def first_order_gradients(problem, query, w, alpha, inner_steps, first, last, rows):
    """rows[i] = grad g_i(u_k)."""
    path = np.empty((inner_steps + 1, w.size))
    tapes = tapes_for(problem, query, inner_steps, ALONE, stack())
    copy(w, path[0])
    for i in range(first, last):
        task_first_order_gradient(problem, query, i, alpha, path, tapes, rows[i])


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, INDEX, INDEX, MATRIX), nogil=True)
def reptile_gradients(problem, query, w, alpha, inner_steps, first, last, rows):
    """rows[k i + j] = grad f_i(u_j); there is no query here."""
    point = np.empty(w.size)
    tape = derivatives.tape(problem, ALONE)
    for i in range(first, last):
        copy(w, point)
        for j in range(inner_steps):
            row = rows[inner_steps * i + j]
            derivatives.gradient(problem, i, point, ALONE, tape, row)
            take_step(point, alpha, row, point)


@on_demand(
    types.void(PROBLEM, PROBLEM, VECTOR, VECTOR, REAL, INDEX, INDEX, INDEX, MATRIX), nogil=True
)
def hvps(problem, query, w, v, alpha, inner_steps, first, last, rows):
    """rows[i] = Hess F_i(w) v."""
    d = w.size
    path = np.empty((inner_steps + 1, d))
    tangent = np.empty((inner_steps + 1, d))
    tapes = tapes_for(problem, query, inner_steps, THIRDS, stack())
    product, other, q = np.empty(d), np.empty(d), np.empty(d)
    copy(w, path[0])
    copy(v, tangent[0])
    for i in range(first, last):
        task_hvp(problem, query, i, alpha, path, tangent, tapes, product, other, q, rows[i])
