"""The Hessian-vector product of the MAML loss: forward over reverse, the loop of ``maml_ode.compiled.maml``."""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import inner, shared_kernel
from maml_ode.compiled.maml import inner_path, take_step, tapes_for
from maml_ode.compiled.scratch import borrowed, stack
from maml_ode.compiled.vectors import copy


@inner(
    types.void(PROBLEM, INDEX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR),
)
def adjoint_after(problem, i, w, v, q, b, tape, out, other):
    """Set out = H b + D^3 f_i(w)[v, q, .] and other = H q, after `hvp_after` of order 2 with v."""
    if problem.taped:
        problem.taped_adjoint(i, q, b, problem.data, tape, out, other)
        return
    product = np.empty(w.size)
    problem.hvp(i, w, b, problem.data, out)
    problem.third_vector(i, w, v, q, problem.data, product)
    for k in range(w.size):
        out[k] += product[k]
    if other.size > 0:
        problem.hvp(i, w, q, problem.data, other)


@inner(
    types.void(
        PROBLEM, PROBLEM, INDEX, REAL, MATRIX, MATRIX, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR
    )
)
def task_hvp(problem, query, i, alpha, path, tangent, tapes, product, other, q, b):
    """Set b = Hess F_i(path[0]) tangent[0]; ``product``, ``other`` and ``q`` are room for d numbers each."""
    path, tangent, tapes = borrowed(path), borrowed(tangent), borrowed(tapes)
    product, other, q, b = borrowed(product), borrowed(other), borrowed(q), borrowed(b)
    inner_steps = path.shape[0] - 1
    inner_path(problem, i, alpha, path, 2, tapes, product)
    for j in range(inner_steps):
        derivatives.hvp_after(problem, i, path[j], tangent[j], 2, tapes[j], product)
        take_step(tangent[j], alpha, product, tangent[j + 1])
    u, t, tape = path[inner_steps], tangent[inner_steps], tapes[inner_steps]
    derivatives.gradient(query, i, u, 1, tape, q if inner_steps > 0 else q[:0])
    derivatives.hvp_after(query, i, u, t, 1, tape, b)
    for j in range(inner_steps - 1, -1, -1):
        more = other if j > 0 else other[:0]
        adjoint_after(problem, i, path[j], tangent[j], q, b, tapes[j], product, more)
        take_step(b, alpha, product, b)
        if j > 0:
            take_step(q, alpha, other, q)


@shared_kernel(types.void(PROBLEM, PROBLEM, VECTOR, VECTOR, REAL, INDEX, VECTOR), driver=True)
def hvp(problem, query, w, v, alpha, inner_steps, out):
    """Out = Hess F(w) v, without forming a d x d matrix."""
    d = w.size
    path = np.empty((inner_steps + 1, d))
    tangent = np.empty((inner_steps + 1, d))
    tapes = tapes_for(problem, query, inner_steps, 2, stack())
    product, other, q, b = np.empty(d), np.empty(d), np.empty(d), np.empty(d)
    copy(w, path[0])
    copy(v, tangent[0])
    out[:] = 0.0
    for i in range(problem.weights.size):
        task_hvp(problem, query, i, alpha, path, tangent, tapes, product, other, q, b)
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * b[k]
