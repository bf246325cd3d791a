"""A field and its derivatives along the columns of a matrix S, as compiled steppers hold them.

The state is z = (w, S), the columns of S one after the other, and the field (X, (dX/dw) S + dX/dp). A task's term
of -X is q_0 of ``maml_ode.compiled.maml``; along a direction t_0 of w and a change delta of alpha, which is 1 for
the column of alpha and else 0,

    t_{j+1} = t_j - alpha H_j t_j - delta g_j,    dq_k = Hess g_i(u_k) t_k,
    dq_j = dq_{j+1} - H_j (alpha dq_{j+1} + delta q_{j+1}) - D^3 f_i(u_j)[t_j, alpha q_{j+1}],

with H_j = Hess f_i(u_j) and g_j = grad f_i(u_j). All columns share the path of the inner steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from maml_ode._validation import Array
from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import inner, kernel_on_demand
from maml_ode.compiled.fields import (
    AFFINE_VALUE,
    COMPOSITION,
    FIRST_ORDER,
    MAML,
    REPTILE,
    affine,
    affine_field,
    composed_field,
)
from maml_ode.compiled.hvp import adjoint_after
from maml_ode.compiled.maml import take_step, tapes_for
from maml_ode.compiled.scratch import stack
from maml_ode.compiled.vectors import copy

# What a composed field of this kind is handed: what X is made of, d, the columns of alpha and of the first weight,
# -1 without them, and whether K and k of X = -(K w - k) follow.
KIND, DIM, ALPHA, WEIGHTS, AGGREGATED, FIXED = range(6)
# The points u_j, the gradients g_j, the adjoints q_j, the tangents t_j, and three vectors to work in.
ROOM = types.UniTuple(MATRIX, 5)


@inner(types.void(PROBLEM, PROBLEM, INDEX, INDEX, REAL, MATRIX, ROOM))
def _follow(problem, query, i, kind, alpha, tapes, room):
    """Fill the path of task i from its first point, and the adjoints; the first of them is the task's term."""
    path, slopes, adjoints, _, work = room
    last, order = path.shape[0] - 1, 2 if kind == MAML else 1
    for j in range(last):
        derivatives.gradient(problem, i, path[j], order, tapes[j], slopes[j])
        take_step(path[j], alpha, slopes[j], path[j + 1])
    if kind == REPTILE:
        for m in range(path.shape[1]):
            adjoints[0, m] = 0.0
            for j in range(last):
                adjoints[0, m] += slopes[j, m]
        return
    derivatives.gradient(query, i, path[last], 1, tapes[last], adjoints[last])
    for j in range(last - 1, -1, -1):
        copy(adjoints[j + 1], adjoints[j])
        if kind == MAML:
            derivatives.hvp_after(problem, i, path[j], adjoints[j + 1], order, tapes[j], work[0])
            take_step(adjoints[j], alpha, work[0], adjoints[j])


@inner(types.void(PROBLEM, PROBLEM, INDEX, INDEX, REAL, REAL, MATRIX, ROOM, VECTOR))
def _change(problem, query, i, kind, alpha, delta, tapes, room, out):
    """Fill out with the change of task i's term along the first tangent and ``delta``, after `_follow`."""
    path, slopes, adjoints, tangents, work = room
    last, order, d = path.shape[0] - 1, 2 if kind == MAML else 1, out.size
    product, b, q = work[0], work[1], work[2]
    for m in range(d):
        out[m] = 0.0
    for j in range(last):
        t = tangents[j + 1]
        derivatives.hvp_after(problem, i, path[j], tangents[j], order, tapes[j], product)
        take_step(tangents[j], alpha, product, t)
        for m in range(d):
            t[m] -= delta * slopes[j, m]
            out[m] += product[m]
    if kind == REPTILE:
        return
    derivatives.hvp_after(query, i, path[last], tangents[last], 1, tapes[last], out)
    if kind == FIRST_ORDER:
        return
    for j in range(last - 1, -1, -1):
        for m in range(d):
            q[m] = alpha * adjoints[j + 1, m]
            b[m] = alpha * out[m] + delta * adjoints[j + 1, m]
        adjoint_after(problem, i, path[j], tangents[j], q, b, tapes[j], product, q[:0])
        for m in range(d):
            out[m] -= product[m]


@inner(types.boolean(VECTOR))
def _vanishes(v):
    largest = 0.0
    for m in range(v.size):
        largest = max(largest, abs(v[m]))
    return largest == 0.0


@inner(AFFINE_VALUE)
def _affine_columns(K, k, z, out):
    """Fill out with k - K w and -K S."""
    d = K.shape[0]
    nothing = np.zeros(d)
    affine(K, k, z[:d], out[:d])
    for at in range(d, z.size, d):
        affine(K, nothing, z[at : at + d], out[at : at + d])


@kernel_on_demand(AFFINE_VALUE)
def _of_quadratic(K, k, z, out):
    _affine_columns(K, k, z, out)


@kernel_on_demand(COMPOSITION)
def _of_families(problem, query, z, alpha, inner_steps, numbers, out):
    kind, d, aggregated = int(numbers[KIND]), int(numbers[DIM]), numbers[AGGREGATED] != 0.0
    by_alpha, by_weights = int(numbers[ALPHA]), int(numbers[WEIGHTS])
    columns = z.size // d - 1
    for m in range(z.size):
        out[m] = 0.0
    if aggregated:
        K = numbers[FIXED : FIXED + d * d].reshape((d, d))
        _affine_columns(K, numbers[FIXED + d * d :], z, out)
    points = inner_steps + 1
    room = (
        np.empty((points, d)),
        np.empty((points, d)),
        np.empty((points, d)),
        np.empty((points, d)),
        np.empty((3, d)),
    )
    path, adjoints, tangents = room[0], room[2], room[3]
    tapes = tapes_for(problem, query, inner_steps, 2, stack())
    changed = np.empty(d)
    copy(z[:d], path[0])
    for i in range(problem.weights.size):
        p = problem.weights[i]
        _follow(problem, query, i, kind, alpha, tapes, room)
        for r in range(columns):
            at = d + r * d
            delta = 1.0 if r == by_alpha else 0.0
            if aggregated:
                for m in range(d):
                    tangents[0, m] = 0.0
            else:
                copy(z[at : at + d], tangents[0])
            # A column begins to move where its parameter first does.
            if delta != 0.0 or not _vanishes(tangents[0]):
                _change(problem, query, i, kind, alpha, delta, tapes, room, changed)
                for m in range(d):
                    out[at + m] -= p * changed[m]
        for m in range(d):
            if not aggregated:
                out[m] -= p * adjoints[0, m]
            if by_weights >= 0:
                out[d + (by_weights + i) * d + m] -= adjoints[0, m]


def augmented_field(
    field: Any,
    kind: int,
    dim: int,
    alpha_column: int,
    weights_column: int,
    form: tuple[Array, Array] | None,
) -> Any:
    """Return the handle of a field of families and its derivatives.

    Parameters
    ----------
    field : Field
        The handle of the field, made of packed families, of ``MAML`` with the kernels of third order in place.
    kind : int
        ``MAML``, ``FIRST_ORDER`` or ``REPTILE``.
    dim : int
        d.
    alpha_column, weights_column : int
        Where the columns of alpha and of the weights begin; -1 for a field that depends on none.
    form : tuple of ndarray, optional
        K and k of an affine field.
    """
    head = np.array([kind, dim, alpha_column, weights_column, form is not None], dtype=np.float64)
    K, k = (np.empty(0), np.empty(0)) if form is None else form
    return composed_field(field, _of_families, np.concatenate([head, np.ravel(K), k]))


def augmented_affine(K: Array, k: Array) -> Any:
    """Return the handle of w' = -(K w - k) and its derivatives, where no parameter is a part of K and k."""
    return affine_field(K, k, _of_quadratic)
