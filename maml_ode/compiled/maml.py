"""MAML loops over the tasks, written once for every family.

With k inner steps of size alpha, u_0 = w, u_{j+1} = u_j - alpha grad f_i(u_j), and a query loss g_i
(g_i = f_i unless a second family is given), the MAML loss is F(w) = sum_i p_i g_i(u_k); with k = 0 it is the
expected loss. Reverse mode gives

    q_k = grad g_i(u_k),   q_j = q_{j+1} - alpha Hess f_i(u_j) q_{j+1},   grad F_i = q_0,

forward over reverse gives its Hessian-vector product, and the Hessian follows from

    R_k = Hess g_i(u_k),   R_j = A_j R_{j+1} A_j - alpha D^3 f_i(u_j)[q_{j+1}],   A_j = I - alpha Hess f_i(u_j).

For k = 1 and g = f this is equation (3.1) of Xu, Chen and Karbasi (2021) and its derivative.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.vectors import copy


@njit(MATRIX(PROBLEM, PROBLEM, INDEX, INDEX), cache=True)
def _tapes(problem, query, inner_steps, order):  # type: ignore[no-untyped-def]
    """Return a tape per inner iterate and one for the query, which needs an order less."""
    size = derivatives.tape_size(query, max(order - 1, 0))
    if inner_steps > 0:
        size = max(size, derivatives.tape_size(problem, order))
    return np.empty((inner_steps + 1, size))


@njit(types.void(VECTOR, REAL, VECTOR, VECTOR), cache=True)
def _step(u, alpha, gradient, out):  # type: ignore[no-untyped-def]
    """Out = u - alpha gradient; ``out`` may be ``u``."""
    for k in range(out.size):
        out[k] = u[k] - alpha * gradient[k]


@njit(types.void(PROBLEM, INDEX, REAL, MATRIX, INDEX, MATRIX, VECTOR), cache=True)
def _inner_path(problem, i, alpha, path, order, tapes, scratch):  # type: ignore[no-untyped-def]
    """Fill path[1:] with the inner iterates of task i from path[0]."""
    for j in range(path.shape[0] - 1):
        derivatives.gradient(problem, i, path[j], order, tapes[j], scratch)
        _step(path[j], alpha, scratch, path[j + 1])


@njit(types.void(PROBLEM, VECTOR, REAL, INDEX, MATRIX), cache=True)
def adapt(problem, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """out[i] = u_k of task i."""
    path = np.empty((inner_steps + 1, w.size))
    tapes = _tapes(problem, problem, inner_steps, 0)
    scratch = np.empty(w.size)
    copy(w, path[0])
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, 0, tapes, scratch)
        copy(path[inner_steps], out[i])


@njit(REAL(PROBLEM, PROBLEM, VECTOR, REAL, INDEX), cache=True)
def value(problem, query, w, alpha, inner_steps):  # type: ignore[no-untyped-def]
    """Return F(w)."""
    path = np.empty((inner_steps + 1, w.size))
    tapes = _tapes(problem, problem, inner_steps, 0)
    scratch = np.empty(w.size)
    copy(w, path[0])
    total = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, 0, tapes, scratch)
        total += problem.weights[i] * query.loss(i, path[inner_steps], query.data)
    return total


@njit(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR), cache=True)
def gradient(problem, query, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """Out = grad F(w), by inner_steps Hessian-vector products per task and no Hessian."""
    d = w.size
    path = np.empty((inner_steps + 1, d))
    tapes = _tapes(problem, query, inner_steps, 1)
    product = np.empty(d)
    adjoint = np.empty(d)
    copy(w, path[0])
    out[:] = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, 1, tapes, product)
        derivatives.gradient(query, i, path[inner_steps], 0, tapes[inner_steps], adjoint)
        for j in range(inner_steps - 1, -1, -1):
            derivatives.hvp_after(problem, i, path[j], adjoint, 1, tapes[j], product)
            _step(adjoint, alpha, product, adjoint)
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * adjoint[k]


@njit(types.void(PROBLEM, PROBLEM, VECTOR, VECTOR, REAL, INDEX, VECTOR), cache=True)
def hvp(problem, query, w, v, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """Out = Hess F(w) v, without forming a d x d matrix."""
    d = w.size
    path = np.empty((inner_steps + 1, d))
    tangent = np.empty((inner_steps + 1, d))
    tapes = _tapes(problem, query, inner_steps, 2)
    product = np.empty(d)
    other = np.empty(d)
    adjoint = np.empty(d)
    adjoint_tangent = np.empty(d)
    copy(w, path[0])
    copy(v, tangent[0])
    out[:] = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, 2, tapes, product)
        for j in range(inner_steps):
            derivatives.hvp_after(problem, i, path[j], tangent[j], 2, tapes[j], product)
            _step(tangent[j], alpha, product, tangent[j + 1])
        u, t, tape = path[inner_steps], tangent[inner_steps], tapes[inner_steps]
        derivatives.gradient(query, i, u, 1, tape, adjoint if inner_steps > 0 else adjoint[:0])
        derivatives.hvp_after(query, i, u, t, 1, tape, adjoint_tangent)
        for j in range(inner_steps - 1, -1, -1):
            q, b = adjoint, adjoint_tangent
            more = other if j > 0 else other[:0]
            derivatives.adjoint_after(
                problem, i, path[j], tangent[j], q, b, tapes[j], product, more
            )
            _step(b, alpha, product, b)
            if j > 0:
                _step(q, alpha, other, q)
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * adjoint_tangent[k]


@njit(types.void(PROBLEM, INDEX, VECTOR, REAL, VECTOR, MATRIX), cache=True)
def _contraction(problem, i, u, alpha, tape, out):  # type: ignore[no-untyped-def]
    """Out = A = I - alpha Hess f_i(u)."""
    derivatives.hessian(problem, i, u, tape, out)
    for r in range(u.size):
        for c in range(u.size):
            out[r, c] *= -alpha
        out[r, r] += 1.0


@njit(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, MATRIX), cache=True)
def hessian(problem, query, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """Out = Hess F(w), symmetric to rounding and then symmetrised."""
    d = w.size
    path = np.empty((inner_steps + 1, d))
    product = np.empty(d)
    adjoint = np.empty(d)
    contraction = np.empty((d, d))
    third = np.empty((d, d))
    curvature = np.empty((d, d))
    tapes = _tapes(problem, query, inner_steps, 2)
    copy(w, path[0])
    out[:, :] = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, 0, tapes, product)
        tape = tapes[inner_steps]
        if inner_steps > 0:
            derivatives.gradient(query, i, path[inner_steps], 0, tape, adjoint)
        derivatives.hessian(query, i, path[inner_steps], tape, curvature)
        for j in range(inner_steps - 1, -1, -1):
            _contraction(problem, i, path[j], alpha, tapes[j], contraction)
            np.dot(curvature, contraction, third)
            np.dot(contraction, third, curvature)
            derivatives.third(problem, i, path[j], adjoint, tapes[j], third)
            for r in range(d):
                for c in range(d):
                    curvature[r, c] -= alpha * third[r, c]
            np.dot(contraction, adjoint, product)
            copy(product, adjoint)
        p = problem.weights[i]
        for r in range(d):
            for c in range(d):
                out[r, c] += 0.5 * p * (curvature[r, c] + curvature[c, r])


@njit(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR), cache=True)
def first_order_gradient(problem, query, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """Out = sum_i p_i grad g_i(u_k): FO-MAML, the gradient with every A_j replaced by I."""
    d = w.size
    path = np.empty((inner_steps + 1, d))
    tapes = _tapes(problem, query, inner_steps, 0)
    scratch = np.empty(d)
    copy(w, path[0])
    out[:] = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, 0, tapes, scratch)
        derivatives.gradient(query, i, path[inner_steps], 0, tapes[inner_steps], scratch)
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * scratch[k]


@njit(types.void(PROBLEM, VECTOR, REAL, INDEX, VECTOR), cache=True)
def reptile_gradient(problem, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """Out = sum_i p_i (w - u_k) / alpha, the sum of the inner gradients (Nichol et al. 2018)."""
    d = w.size
    point = np.empty(d)
    gradient = np.empty(d)
    tape = derivatives.tape(problem, 0)
    out[:] = 0.0
    for i in range(problem.weights.size):
        copy(w, point)
        p = problem.weights[i]
        for _ in range(inner_steps):
            derivatives.gradient(problem, i, point, 0, tape, gradient)
            for k in range(d):
                point[k] -= alpha * gradient[k]
                out[k] += p * gradient[k]


@njit(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, MATRIX, MATRIX), cache=True)
def first_order_jacobians(problem, query, w, alpha, inner_steps, fomaml, reptile):  # type: ignore[no-untyped-def]
    """Jacobians of the two fields above: sum p_i Hess g_i(u_k) P and sum p_i (I - P) / alpha.

    P = A_{k-1} ... A_0 is the Jacobian of w -> u_k. ``reptile`` is built as sum_j Hess f_i(u_j) P_j,
    which needs no division by alpha.
    """
    d = w.size
    path = np.empty((inner_steps + 1, d))
    scratch = np.empty(d)
    jacobian = np.empty((d, d))
    curvature = np.empty((d, d))
    product = np.empty((d, d))
    tapes = _tapes(problem, query, inner_steps, 2)
    copy(w, path[0])
    fomaml[:, :] = 0.0
    reptile[:, :] = 0.0
    for i in range(problem.weights.size):
        p = problem.weights[i]
        _inner_path(problem, i, alpha, path, 0, tapes, scratch)
        jacobian[:, :] = 0.0
        for r in range(d):
            jacobian[r, r] = 1.0
        for j in range(inner_steps):
            derivatives.hessian(problem, i, path[j], tapes[j], curvature)
            np.dot(curvature, jacobian, product)
            for r in range(d):
                for c in range(d):
                    reptile[r, c] += p * product[r, c]
                    jacobian[r, c] -= alpha * product[r, c]
        derivatives.hessian(query, i, path[inner_steps], tapes[inner_steps], curvature)
        np.dot(curvature, jacobian, product)
        for r in range(d):
            for c in range(d):
                fomaml[r, c] += p * product[r, c]
