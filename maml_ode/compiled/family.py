"""Per-task loops: one call evaluates all M tasks, at one shared point or at one point per task.

``points`` has one row (shared by all tasks) or M rows; ``directions`` likewise.
"""

from __future__ import annotations

from numba import types

from maml_ode.compiled.contract import MATRIX, PROBLEM, VECTOR
from maml_ode.compiled.decorators import on_demand

CUBE = types.float64[:, :, ::1]


@on_demand(types.void(PROBLEM, MATRIX, VECTOR))
def losses(problem, points, out):  # type: ignore[no-untyped-def]
    """out[i] = f_i(w_i)."""
    stride = 1 if points.shape[0] > 1 else 0
    for i in range(out.size):
        out[i] = problem.loss(i, points[i * stride], problem.data)


@on_demand(types.void(PROBLEM, MATRIX, MATRIX))
def gradients(problem, points, out):  # type: ignore[no-untyped-def]
    """out[i] = grad f_i(w_i)."""
    stride = 1 if points.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        problem.gradient(i, points[i * stride], problem.data, out[i])


@on_demand(types.void(PROBLEM, MATRIX, MATRIX, MATRIX))
def hvps(problem, points, directions, out):  # type: ignore[no-untyped-def]
    """out[i] = Hess f_i(w_i) v_i."""
    stride = 1 if points.shape[0] > 1 else 0
    step = 1 if directions.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        problem.hvp(i, points[i * stride], directions[i * step], problem.data, out[i])


@on_demand(types.void(PROBLEM, MATRIX, CUBE))
def hessians(problem, points, out):  # type: ignore[no-untyped-def]
    """out[i] = Hess f_i(w_i)."""
    stride = 1 if points.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        problem.hessian(i, points[i * stride], problem.data, out[i])


@on_demand(types.void(PROBLEM, MATRIX, MATRIX, CUBE))
def thirds(problem, points, directions, out):  # type: ignore[no-untyped-def]
    """out[i] = D^3 f_i(w_i)[v_i, ., .]."""
    stride = 1 if points.shape[0] > 1 else 0
    step = 1 if directions.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        problem.third(i, points[i * stride], directions[i * step], problem.data, out[i])


@on_demand(types.void(PROBLEM, MATRIX, MATRIX, MATRIX, MATRIX))
def third_vectors(problem, points, directions, others, out):  # type: ignore[no-untyped-def]
    """out[i] = D^3 f_i(w_i)[v_i, q_i, .]."""
    stride = 1 if points.shape[0] > 1 else 0
    step = 1 if directions.shape[0] > 1 else 0
    jump = 1 if others.shape[0] > 1 else 0
    for i in range(out.shape[0]):
        problem.third_vector(
            i, points[i * stride], directions[i * step], others[i * jump], problem.data, out[i]
        )
