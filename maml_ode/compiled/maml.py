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

from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.vectors import copy


@njit(types.void(PROBLEM, INDEX, REAL, MATRIX, VECTOR), cache=True)
def _inner_path(problem, i, alpha, path, gradient):  # type: ignore[no-untyped-def]
    """Fill path[1:] with the inner iterates of task i from path[0]; ``gradient`` is scratch."""
    for j in range(path.shape[0] - 1):
        problem.gradient(i, path[j], problem.data, gradient)
        for k in range(gradient.size):
            path[j + 1, k] = path[j, k] - alpha * gradient[k]


@njit(types.void(PROBLEM, VECTOR, REAL, INDEX, MATRIX), cache=True)
def adapt(problem, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """out[i] = u_k of task i."""
    path = np.empty((inner_steps + 1, w.size))
    scratch = np.empty(w.size)
    copy(w, path[0])
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, scratch)
        copy(path[inner_steps], out[i])


@njit(REAL(PROBLEM, PROBLEM, VECTOR, REAL, INDEX), cache=True)
def value(problem, query, w, alpha, inner_steps):  # type: ignore[no-untyped-def]
    """Return F(w)."""
    path = np.empty((inner_steps + 1, w.size))
    scratch = np.empty(w.size)
    copy(w, path[0])
    total = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, scratch)
        total += problem.weights[i] * query.loss(i, path[inner_steps], query.data)
    return total


@njit(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, VECTOR), cache=True)
def gradient(problem, query, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """Out = grad F(w), by inner_steps Hessian-vector products per task and no Hessian."""
    d = w.size
    path = np.empty((inner_steps + 1, d))
    product = np.empty(d)
    adjoint = np.empty(d)
    copy(w, path[0])
    out[:] = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, product)
        query.gradient(i, path[inner_steps], query.data, adjoint)
        for j in range(inner_steps - 1, -1, -1):
            problem.hvp(i, path[j], adjoint, problem.data, product)
            for k in range(d):
                adjoint[k] -= alpha * product[k]
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * adjoint[k]


@njit(types.void(PROBLEM, PROBLEM, VECTOR, VECTOR, REAL, INDEX, VECTOR), cache=True)
def hvp(problem, query, w, v, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """Out = Hess F(w) v, without forming a d x d matrix."""
    d = w.size
    path = np.empty((inner_steps + 1, d))
    tangent = np.empty((inner_steps + 1, d))
    product = np.empty(d)
    adjoint = np.empty(d)
    adjoint_tangent = np.empty(d)
    copy(w, path[0])
    copy(v, tangent[0])
    out[:] = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, product)
        for j in range(inner_steps):
            problem.hvp(i, path[j], tangent[j], problem.data, product)
            for k in range(d):
                tangent[j + 1, k] = tangent[j, k] - alpha * product[k]
        if inner_steps > 0:
            query.gradient(i, path[inner_steps], query.data, adjoint)
        query.hvp(i, path[inner_steps], tangent[inner_steps], query.data, adjoint_tangent)
        for j in range(inner_steps - 1, -1, -1):
            problem.hvp(i, path[j], adjoint_tangent, problem.data, product)
            for k in range(d):
                adjoint_tangent[k] -= alpha * product[k]
            problem.third_vector(i, path[j], tangent[j], adjoint, problem.data, product)
            for k in range(d):
                adjoint_tangent[k] -= alpha * product[k]
            if j > 0:
                problem.hvp(i, path[j], adjoint, problem.data, product)
                for k in range(d):
                    adjoint[k] -= alpha * product[k]
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * adjoint_tangent[k]


@njit(types.void(PROBLEM, INDEX, VECTOR, REAL, MATRIX), cache=True)
def _contraction(problem, i, u, alpha, out):  # type: ignore[no-untyped-def]
    """Out = A = I - alpha Hess f_i(u)."""
    problem.hessian(i, u, problem.data, out)
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
    copy(w, path[0])
    out[:, :] = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, product)
        if inner_steps > 0:
            query.gradient(i, path[inner_steps], query.data, adjoint)
        query.hessian(i, path[inner_steps], query.data, curvature)
        for j in range(inner_steps - 1, -1, -1):
            _contraction(problem, i, path[j], alpha, contraction)
            np.dot(curvature, contraction, third)
            np.dot(contraction, third, curvature)
            problem.third(i, path[j], adjoint, problem.data, third)
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
    scratch = np.empty(d)
    copy(w, path[0])
    out[:] = 0.0
    for i in range(problem.weights.size):
        _inner_path(problem, i, alpha, path, scratch)
        query.gradient(i, path[inner_steps], query.data, scratch)
        p = problem.weights[i]
        for k in range(d):
            out[k] += p * scratch[k]


@njit(types.void(PROBLEM, VECTOR, REAL, INDEX, VECTOR), cache=True)
def reptile_gradient(problem, w, alpha, inner_steps, out):  # type: ignore[no-untyped-def]
    """Out = sum_i p_i (w - u_k) / alpha, the sum of the inner gradients (Nichol et al. 2018)."""
    d = w.size
    point = np.empty(d)
    gradient = np.empty(d)
    out[:] = 0.0
    for i in range(problem.weights.size):
        copy(w, point)
        p = problem.weights[i]
        for _ in range(inner_steps):
            problem.gradient(i, point, problem.data, gradient)
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
    copy(w, path[0])
    fomaml[:, :] = 0.0
    reptile[:, :] = 0.0
    for i in range(problem.weights.size):
        p = problem.weights[i]
        _inner_path(problem, i, alpha, path, scratch)
        jacobian[:, :] = 0.0
        for r in range(d):
            jacobian[r, r] = 1.0
        for j in range(inner_steps):
            problem.hessian(i, path[j], problem.data, curvature)
            np.dot(curvature, jacobian, product)
            for r in range(d):
                for c in range(d):
                    reptile[r, c] += p * product[r, c]
                    jacobian[r, c] -= alpha * product[r, c]
        query.hessian(i, path[inner_steps], query.data, curvature)
        np.dot(curvature, jacobian, product)
        for r in range(d):
            for c in range(d):
                fomaml[r, c] += p * product[r, c]
