"""Per-task loops: one call evaluates all M tasks, at one shared point or at one point per task.

``points`` has one row (shared by all tasks) or M rows; ``directions`` likewise.
"""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, VECTOR
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.matrices import hessian_of, third_of

CUBE = types.float64[:, :, ::1]


@on_demand(types.void(PROBLEM, MATRIX, VECTOR))
def losses(problem, points, out):
    """out[i] = f_i(w_i)."""
    stride = 1 if points.shape[0] > 1 else 0
    for i in range(out.size):
        out[i] = problem.loss(i, points[i * stride], problem.data)


@on_demand(types.void(PROBLEM, MATRIX, MATRIX))
def gradients(problem, points, out):
    """out[i] = grad f_i(w_i)."""
    tape = derivatives.tape(problem, 0)
    stride = 1 if points.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        derivatives.gradient(problem, i, points[i * stride], 0, tape, out[i])


@on_demand(types.void(PROBLEM, MATRIX, MATRIX, MATRIX))
def hvps(problem, points, directions, out):
    """out[i] = Hess f_i(w_i) v_i."""
    tape = derivatives.tape(problem, 1)
    stride = 1 if points.shape[0] > 1 else 0
    step = 1 if directions.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        derivatives.hvp(problem, i, points[i * stride], directions[i * step], tape, out[i])


@on_demand(types.void(PROBLEM, MATRIX, CUBE))
def hessians(problem, points, out):
    """out[i] = Hess f_i(w_i)."""
    tape = derivatives.tape(problem, 1)
    stride = 1 if points.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        hessian_of(problem, i, points[i * stride], tape, out[i])


@on_demand(types.void(PROBLEM, MATRIX, MATRIX, CUBE))
def thirds(problem, points, directions, out):
    """out[i] = D^3 f_i(w_i)[v_i, ., .]."""
    tape = derivatives.tape(problem, 2)
    stride = 1 if points.shape[0] > 1 else 0
    step = 1 if directions.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        third_of(problem, i, points[i * stride], directions[i * step], tape, out[i])


@inner(types.void(PROBLEM, INDEX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR))
def _third_vector(problem, i, w, v, q, tape, out):
    """Set out = D^3 f_i(w)[v, q, .]; a tape of order 2."""
    if problem.taped:
        nothing = w[:0]
        problem.taped_bent_gradient(i, w, 2, problem.data, tape, nothing)
        problem.taped_hvp(i, v, 2, problem.data, tape, nothing)
        problem.taped_adjoint(i, q, np.zeros(w.size), problem.data, tape, out, nothing)
    else:
        problem.third_vector(i, w, v, q, problem.data, out)


@on_demand(types.void(PROBLEM, MATRIX, MATRIX, MATRIX, MATRIX))
def third_vectors(problem, points, directions, others, out):
    """out[i] = D^3 f_i(w_i)[v_i, q_i, .]."""
    tape = derivatives.tape(problem, 2)
    stride = 1 if points.shape[0] > 1 else 0
    step = 1 if directions.shape[0] > 1 else 0
    jump = 1 if others.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        w, v, q = points[i * stride], directions[i * step], others[i * jump]
        _third_vector(problem, i, w, v, q, tape, out[i])
