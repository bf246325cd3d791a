"""The loops of ``maml_ode.compiled.maml`` and ``hvp`` for inner step sizes of their own: an array (k, M, d).

With D_j = diag(alpha_j) of a task, u_{j+1} = u_j - D_j grad f_i(u_j). A tangent goes forward by
I - D_j Hess f_i(u_j), an adjoint backward by its transpose:

    t_{j+1} = t_j - D_j Hess f_i(u_j) t_j,        q_j = q_{j+1} - Hess f_i(u_j) D_j q_{j+1}.
"""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.derivatives import ALONE, PRODUCTS, THIRDS
from maml_ode.compiled.hvp import adjoint_after
from maml_ode.compiled.maml import tapes_for
from maml_ode.compiled.scratch import stack
from maml_ode.compiled.vectors import add_multiple, copy

STEPS = types.float64[:, :, ::1]


@inner(types.void(VECTOR, VECTOR, VECTOR, VECTOR))
def take_steps(u, alpha, direction, out):
    """Out = u - alpha direction, entry by entry; ``out`` may be ``u``."""
    for k in range(out.size):
        out[k] = u[k] - alpha[k] * direction[k]


@inner(MATRIX(VECTOR, STEPS))
def from_start(w, alphas):
    """Return room for w and what becomes of it in every inner step, a row each, with w in the first."""
    rows = np.empty((alphas.shape[0] + 1, w.size))
    copy(w, rows[0])
    return rows


@inner(types.void(PROBLEM, INDEX, STEPS, MATRIX, INDEX, MATRIX, VECTOR))
def array_path(problem, i, alphas, path, order, tapes, scratch):
    """Fill path[1:] with the inner iterates of task i from path[0]."""
    for j in range(alphas.shape[0]):
        derivatives.gradient(problem, i, path[j], order, tapes[j], scratch)
        take_steps(path[j], alphas[j, i], scratch, path[j + 1])


@on_demand(types.void(PROBLEM, VECTOR, STEPS, MATRIX))
def adapt(problem, w, alphas, out):
    """out[i] = u_k of task i."""
    inner_steps, path, scratch = alphas.shape[0], from_start(w, alphas), np.empty(w.size)
    tapes = tapes_for(problem, problem, inner_steps, ALONE, stack())
    for i in range(problem.weights.size):
        array_path(problem, i, alphas, path, ALONE, tapes, scratch)
        copy(path[inner_steps], out[i])


@on_demand(REAL(PROBLEM, PROBLEM, VECTOR, STEPS))
def value(problem, query, w, alphas):
    """Return F(w)."""
    inner_steps, path, scratch = alphas.shape[0], from_start(w, alphas), np.empty(w.size)
    tapes = tapes_for(problem, problem, inner_steps, ALONE, stack())
    total = 0.0
    for i in range(problem.weights.size):
        array_path(problem, i, alphas, path, ALONE, tapes, scratch)
        total += problem.weights[i] * query.loss(i, path[inner_steps], query.data)
    return total


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, STEPS, VECTOR))
def gradient(problem, query, w, alphas, out):
    """Out = grad F(w), by inner_steps Hessian-vector products per task and no Hessian."""
    inner_steps, d, path = alphas.shape[0], w.size, from_start(w, alphas)
    tapes = tapes_for(problem, query, inner_steps, PRODUCTS, stack())
    scaled, product, adjoint = np.empty(d), np.empty(d), np.empty(d)
    out[:] = 0.0
    for i in range(problem.weights.size):
        array_path(problem, i, alphas, path, PRODUCTS, tapes, product)
        derivatives.gradient(query, i, path[inner_steps], ALONE, tapes[inner_steps], adjoint)
        for j in range(inner_steps - 1, -1, -1):
            for k in range(d):
                scaled[k] = alphas[j, i, k] * adjoint[k]
            derivatives.hvp_after(problem, i, path[j], scaled, PRODUCTS, tapes[j], product)
            add_multiple(-1.0, product, adjoint)
        add_multiple(problem.weights[i], adjoint, out)


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, STEPS, VECTOR))
def first_order_gradient(problem, query, w, alphas, out):
    """Out = sum_i p_i grad g_i(u_k)."""
    inner_steps, path, scratch = alphas.shape[0], from_start(w, alphas), np.empty(w.size)
    tapes = tapes_for(problem, query, inner_steps, ALONE, stack())
    out[:] = 0.0
    for i in range(problem.weights.size):
        array_path(problem, i, alphas, path, ALONE, tapes, scratch)
        derivatives.gradient(query, i, path[inner_steps], ALONE, tapes[inner_steps], scratch)
        add_multiple(problem.weights[i], scratch, out)


@on_demand(types.void(PROBLEM, VECTOR, STEPS, VECTOR))
def reptile_gradient(problem, w, alphas, out):
    """Out = sum_i p_i of the sum of the inner gradients."""
    point, slope = np.empty(w.size), np.empty(w.size)
    tape = derivatives.tape(problem, ALONE)
    out[:] = 0.0
    for i in range(problem.weights.size):
        copy(w, point)
        for j in range(alphas.shape[0]):
            derivatives.gradient(problem, i, point, ALONE, tape, slope)
            take_steps(point, alphas[j, i], slope, point)
            add_multiple(problem.weights[i], slope, out)


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, VECTOR, STEPS, VECTOR))
def hvp(problem, query, w, v, alphas, out):
    """Out = Hess F(w) v, without forming a d x d matrix."""
    inner_steps, d = alphas.shape[0], w.size
    path, tangent = from_start(w, alphas), from_start(v, alphas)
    tapes = tapes_for(problem, query, inner_steps, THIRDS, stack())
    product, other, q, b = np.empty(d), np.empty(d), np.empty(d), np.empty(d)
    scaled_q, scaled_b = np.empty(d), np.empty(d)
    out[:] = 0.0
    for i in range(problem.weights.size):
        array_path(problem, i, alphas, path, THIRDS, tapes, product)
        for j in range(inner_steps):
            derivatives.hvp_after(problem, i, path[j], tangent[j], THIRDS, tapes[j], product)
            take_steps(tangent[j], alphas[j, i], product, tangent[j + 1])
        u, t, tape = path[inner_steps], tangent[inner_steps], tapes[inner_steps]
        derivatives.gradient(query, i, u, PRODUCTS, tape, q)
        derivatives.hvp_after(query, i, u, t, PRODUCTS, tape, b)
        for j in range(inner_steps - 1, -1, -1):
            for k in range(d):
                scaled_q[k], scaled_b[k] = alphas[j, i, k] * q[k], alphas[j, i, k] * b[k]
            more = other if j > 0 else other[:0]
            adjoint_after(
                problem, i, path[j], tangent[j], scaled_q, scaled_b, tapes[j], product, more
            )
            add_multiple(-1.0, product, b)
            if j > 0:
                add_multiple(-1.0, other, q)
        add_multiple(problem.weights[i], b, out)
