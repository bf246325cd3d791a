"""Derivatives that are d x d matrices, apart from the others: what never forms one does not compile them.

With the notation of ``maml_ode.compiled.maml``, the Hessian of the MAML loss follows from

    R_k = Hess g_i(u_k),   R_j = A_j R_{j+1} A_j - alpha D^3 f_i(u_j)[q_{j+1}],   A_j = I - alpha Hess f_i(u_j).
"""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand, shared
from maml_ode.compiled.maml import inner_path, tapes_for
from maml_ode.compiled.scratch import matrix_in, stack
from maml_ode.compiled.vectors import copy

# Smaller matrices are multiplied before a BLAS has looked at its arguments.
SMALL = 8


@inner(types.void(MATRIX, MATRIX, MATRIX))
def _product(A, B, out):
    """Set out = A B."""
    n = len(A)
    if n > SMALL:
        np.dot(A, B, out)
        return
    for i in range(n):
        for j in range(n):
            total = A[i, 0] * B[0, j]
            for k in range(1, n):
                total += A[i, k] * B[k, j]
            out[i, j] = total


@inner(types.void(MATRIX, VECTOR, VECTOR))
def _image(A, v, out):
    """Set out = A v."""
    if v.size > SMALL:
        np.dot(A, v, out)
        return
    for i in range(v.size):
        total = A[i, 0] * v[0]
        for k in range(1, v.size):
            total += A[i, k] * v[k]
        out[i] = total


@inner(types.void(PROBLEM, INDEX, VECTOR, VECTOR, MATRIX))
def hessian_of(problem, i, w, tape, out):
    """Set out = Hess f_i(w); a tape of order 1."""
    if problem.taped:
        problem.taped_gradient(i, w, 1, problem.data, tape, w[:0])
        problem.taped_matrix(i, 1, problem.data, tape, out)
    else:
        problem.hessian(i, w, problem.data, out)


@inner(types.void(PROBLEM, INDEX, VECTOR, VECTOR, VECTOR, MATRIX))
def third_of(problem, i, w, v, tape, out):
    """Set out = D^3 f_i(w)[v, ., .]; a tape of order 2."""
    if problem.taped:
        problem.taped_bent_gradient(i, w, 2, problem.data, tape, w[:0])
        problem.taped_hvp(i, v, 2, problem.data, tape, w[:0])
        problem.taped_matrix(i, 2, problem.data, tape, out)
    else:
        problem.third(i, w, v, problem.data, out)


@inner(types.void(PROBLEM, INDEX, VECTOR, REAL, VECTOR, MATRIX))
def _contraction(problem, i, u, alpha, tape, out):
    """Out = A = I - alpha Hess f_i(u)."""
    hessian_of(problem, i, u, tape, out)
    for r in range(u.size):
        for c in range(u.size):
            out[r, c] *= -alpha
        out[r, r] += 1.0


@shared(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, MATRIX))
def hessian(problem, query, w, alpha, inner_steps, out):
    """Out = Hess F(w), symmetric to rounding and then symmetrised."""
    d = w.size
    path = matrix_in(stack(), inner_steps + 1, d)
    vectors = matrix_in(stack(), 2, d)
    product, adjoint = vectors[0], vectors[1]
    contraction = matrix_in(stack(), d, d)
    third = matrix_in(stack(), d, d)
    curvature = matrix_in(stack(), d, d)
    tapes = tapes_for(problem, query, inner_steps, 2, stack())
    copy(w, path[0])
    out[:, :] = 0.0
    for i in range(problem.weights.size):
        inner_path(problem, i, alpha, path, 0, tapes, product)
        tape = tapes[inner_steps]
        if inner_steps > 0:
            derivatives.gradient(query, i, path[inner_steps], 0, tape, adjoint)
        hessian_of(query, i, path[inner_steps], tape, curvature)
        for j in range(inner_steps - 1, -1, -1):
            _contraction(problem, i, path[j], alpha, tapes[j], contraction)
            _product(curvature, contraction, third)
            _product(contraction, third, curvature)
            third_of(problem, i, path[j], adjoint, tapes[j], third)
            for r in range(d):
                for c in range(d):
                    curvature[r, c] -= alpha * third[r, c]
            _image(contraction, adjoint, product)
            copy(product, adjoint)
        p = problem.weights[i]
        for r in range(d):
            for c in range(d):
                out[r, c] += 0.5 * p * (curvature[r, c] + curvature[c, r])


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, MATRIX, MATRIX))
def first_order_jacobians(problem, query, w, alpha, inner_steps, fomaml, reptile):
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
    tapes = tapes_for(problem, query, inner_steps, 2, stack())
    copy(w, path[0])
    fomaml[:, :] = 0.0
    reptile[:, :] = 0.0
    for i in range(problem.weights.size):
        p = problem.weights[i]
        inner_path(problem, i, alpha, path, 0, tapes, scratch)
        jacobian[:, :] = 0.0
        for r in range(d):
            jacobian[r, r] = 1.0
        for j in range(inner_steps):
            hessian_of(problem, i, path[j], tapes[j], curvature)
            np.dot(curvature, jacobian, product)
            for r in range(d):
                for c in range(d):
                    reptile[r, c] += p * product[r, c]
                    jacobian[r, c] -= alpha * product[r, c]
        hessian_of(query, i, path[inner_steps], tapes[inner_steps], curvature)
        np.dot(curvature, jacobian, product)
        for r in range(d):
            for c in range(d):
                fomaml[r, c] += p * product[r, c]
