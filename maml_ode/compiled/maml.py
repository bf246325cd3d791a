"""MAML loops over the tasks, written once for every family.

With k inner steps of size alpha, u_0 = w, u_{j+1} = u_j - alpha grad f_i(u_j), and a query loss g_i
(g_i = f_i unless a second family is given), the MAML loss is F(w) = sum_i p_i g_i(u_k); with k = 0 it is the
expected loss. Reverse mode gives

    q_k = grad g_i(u_k),   q_j = q_{j+1} - alpha Hess f_i(u_j) q_{j+1},   grad F_i = q_0.

For k = 1 and g = f this is equation (3.1) of Xu, Chen and Karbasi (2021). Second derivatives stand apart, in
``hvp`` and ``matrices``: what does not ask for them does not compile them.
"""

from __future__ import annotations

from numba import types

from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import (
    DATA,
    INDEX,
    MATRIX,
    PROBLEM,
    REAL,
    TAPED_GRADIENT,
    TAPED_HVP,
    VECTOR,
)
from maml_ode.compiled.decorators import inner, on_demand, shared, shared_kernel
from maml_ode.compiled.scratch import POINTER, borrowed, matrix_in, stack
from maml_ode.compiled.vectors import copy


@inner(MATRIX(PROBLEM, PROBLEM, INDEX, INDEX, POINTER))
def tapes_for(problem, query, inner_steps, order, room):
    """Return a tape per inner iterate and one for the query, which needs an order less, in a stack's ``room``."""
    size = derivatives.tape_size(query, max(order - 1, 0))
    if inner_steps > 0:
        size = max(size, derivatives.tape_size(problem, order))
    return matrix_in(room, inner_steps + 1, size)


@inner(types.void(VECTOR, REAL, VECTOR, VECTOR))
def take_step(u, alpha, gradient, out):
    """Out = u - alpha gradient; ``out`` may be ``u``."""
    for k in range(out.size):
        out[k] = u[k] - alpha * gradient[k]


@inner(types.void(PROBLEM, INDEX, REAL, MATRIX, INDEX, MATRIX, VECTOR))
def inner_path(problem, i, alpha, path, order, tapes, scratch):
    """Fill path[1:] with the inner iterates of task i from path[0]."""
    for j in range(path.shape[0] - 1):
        derivatives.gradient(problem, i, path[j], order, tapes[j], scratch)
        take_step(path[j], alpha, scratch, path[j + 1])


@inner(types.void(PROBLEM, PROBLEM, INDEX, REAL, MATRIX, MATRIX, VECTOR, VECTOR))
def task_gradient(problem, query, i, alpha, path, tapes, product, adjoint):
    """Adjoint = grad F_i(path[0])."""
    inner_steps = path.shape[0] - 1
    inner_path(problem, i, alpha, path, 1, tapes, product)
    derivatives.gradient(query, i, path[inner_steps], 0, tapes[inner_steps], adjoint)
    for j in range(inner_steps - 1, -1, -1):
        derivatives.hvp_after(problem, i, path[j], adjoint, 1, tapes[j], product)
        take_step(adjoint, alpha, product, adjoint)


@inner(types.void(PROBLEM, PROBLEM, INDEX, REAL, MATRIX, MATRIX, VECTOR))
def task_first_order_gradient(problem, query, i, alpha, path, tapes, out):
    """Out = grad g_i(u_k), u_k following from path[0]."""
    inner_steps = path.shape[0] - 1
    inner_path(problem, i, alpha, path, 0, tapes, out)
    derivatives.gradient(query, i, path[inner_steps], 0, tapes[inner_steps], out)


@on_demand(types.void(PROBLEM, VECTOR, REAL, INDEX, MATRIX), driver=True)
def adapt(problem, w, alpha, inner_steps, out):
    """out[i] = u_k of task i."""
    path = matrix_in(stack(), inner_steps + 1, w.size)
    tapes = tapes_for(problem, problem, inner_steps, 0, stack())
    scratch = matrix_in(stack(), 1, w.size)[0]
    copy(w, path[0])
    for i in range(problem.weights.size):
        inner_path(problem, i, alpha, path, 0, tapes, scratch)
        copy(path[inner_steps], out[i])


@shared(REAL(PROBLEM, PROBLEM, VECTOR, REAL, INDEX), driver=True)
def value(problem, query, w, alpha, inner_steps):
    """Return F(w)."""
    path = matrix_in(stack(), inner_steps + 1, w.size)
    tapes = tapes_for(problem, problem, inner_steps, 0, stack())
    scratch = matrix_in(stack(), 1, w.size)[0]
    copy(w, path[0])
    total = 0.0
    for i in range(problem.weights.size):
        inner_path(problem, i, alpha, path, 0, tapes, scratch)
        total += problem.weights[i] * query.loss(i, path[inner_steps], query.data)
    return total


@inner(
    types.void(
        *(types.FunctionType(kind) for kind in (TAPED_GRADIENT, TAPED_HVP, TAPED_GRADIENT)),
        DATA, DATA, VECTOR, REAL, MATRIX, MATRIX, MATRIX, VECTOR,
    )
)  # fmt: skip
def _add_taped_gradients(
    follow, turn, judge, data, query_data, weights, alpha, path, tapes, vectors, out
):
    """Add what `task_gradient` finds of all tasks, whose kernels and data are at hand.

    Whoever reads them from the handle counts references to it, which takes a fifth of a short gradient.
    """
    path, tapes, vectors = borrowed(path), borrowed(tapes), borrowed(vectors)
    product, adjoint, last = vectors[0], vectors[1], path.shape[0] - 1
    for i in range(weights.size):
        for j in range(last):
            follow(i, path[j], 1, data, tapes[j], product)
            take_step(path[j], alpha, product, path[j + 1])
        judge(i, path[last], 0, query_data, tapes[last], adjoint)
        for j in range(last - 1, -1, -1):
            turn(i, adjoint, 1, data, tapes[j], product)
            take_step(adjoint, alpha, product, adjoint)
        p = weights[i]
        for k in range(out.size):
            out[k] += p * adjoint[k]


@shared_kernel(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR), driver=True)
def taped_gradient(problem, query, w, alpha, inner_steps, out):
    """Out = grad F(w), as `gradient` finds it, of families with tapes, for which nothing else is compiled then."""
    d = w.size
    path = matrix_in(stack(), inner_steps + 1, d)
    tapes = tapes_for(problem, query, inner_steps, 1, stack())
    vectors = matrix_in(stack(), 2, d)
    copy(w, path[0])
    for k in range(d):
        out[k] = 0.0
    _add_taped_gradients(
        problem.taped_gradient, problem.taped_hvp, query.taped_gradient, problem.data, query.data,
        problem.weights, alpha, path, tapes, vectors, out,
    )  # fmt: skip


@shared_kernel(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR), driver=True)
def gradient(problem, query, w, alpha, inner_steps, out):
    """Out = grad F(w), by inner_steps Hessian-vector products per task and no Hessian."""
    if problem.taped and query.taped:
        taped_gradient(problem, query, w, alpha, inner_steps, out)
        return
    d = w.size
    path = matrix_in(stack(), inner_steps + 1, d)
    tapes = tapes_for(problem, query, inner_steps, 1, stack())
    vectors = matrix_in(stack(), 2, d)
    copy(w, path[0])
    for k in range(d):
        out[k] = 0.0
    product, adjoint = vectors[0], vectors[1]
    for i in range(problem.weights.size):
        task_gradient(problem, query, i, alpha, path, tapes, product, adjoint)
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * adjoint[k]


@shared_kernel(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR), driver=True)
def first_order_gradient(problem, query, w, alpha, inner_steps, out):
    """Out = sum_i p_i grad g_i(u_k): FO-MAML, the gradient with every A_j replaced by I."""
    d = w.size
    path = matrix_in(stack(), inner_steps + 1, d)
    tapes = tapes_for(problem, query, inner_steps, 0, stack())
    scratch = matrix_in(stack(), 1, d)[0]
    copy(w, path[0])
    for k in range(d):
        out[k] = 0.0
    for i in range(problem.weights.size):
        task_first_order_gradient(problem, query, i, alpha, path, tapes, scratch)
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * scratch[k]


@shared(types.void(PROBLEM, VECTOR, REAL, INDEX, VECTOR), driver=True)
def reptile_gradient(problem, w, alpha, inner_steps, out):
    """Out = sum_i p_i (w - u_k) / alpha, the sum of the inner gradients (Nichol et al. 2018)."""
    d = w.size
    vectors = matrix_in(stack(), 2, d)
    point, gradient = vectors[0], vectors[1]
    tape = matrix_in(stack(), 1, derivatives.tape_size(problem, 0))[0]
    for k in range(d):
        out[k] = 0.0
    for i in range(problem.weights.size):
        copy(w, point)
        p = problem.weights[i]
        for _ in range(inner_steps):
            derivatives.gradient(problem, i, point, 0, tape, gradient)
            for k in range(d):
                point[k] -= alpha * gradient[k]
                out[k] += p * gradient[k]
