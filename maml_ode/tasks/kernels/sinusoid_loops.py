"""MAML's loops over the tasks of a sinusoid family, where a task is a few operations on numbers.

What the generated kernels compute, in their order, so that the numbers are those of ``maml_ode.compiled.maml`` to
the last bit: here the sine that the Hessian-vector product needs comes with the cosine of the gradient, and
nothing is called but those two.
"""

from __future__ import annotations

import math

from numba import types

from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import inner, on_demand, shared_kernel
from maml_ode.compiled.descents import DESCENT
from maml_ode.compiled.loops import Loops
from maml_ode.compiled.scratch import borrowed, matrix_in, stack

_SUM = REAL(VECTOR, VECTOR, VECTOR, REAL, REAL, INDEX)


@inner(REAL(REAL, REAL, REAL, REAL))
def _slope(a, b, omega, w):
    """Return f'(w)."""
    return -b * (omega * math.cos(omega * w)) + 2.0 * a * w


@inner(_SUM)
def _gradient(weights, floats, query_floats, w, alpha, inner_steps):
    """Return F'(w)."""
    n = weights.size
    sines = matrix_in(stack(), 1, inner_steps)[0]
    total = 0.0
    for i in range(n):
        a, b, omega, u = floats[i], floats[n + i], floats[2 * n + i], w
        for j in range(inner_steps):
            sines[j] = math.sin(omega * u)
            u -= alpha * _slope(a, b, omega, u)
        q = _slope(query_floats[i], query_floats[n + i], query_floats[2 * n + i], u)
        for j in range(inner_steps - 1, -1, -1):
            q -= alpha * (-b * (-omega * (omega * q) * sines[j]) + 2.0 * a * q)
        total += weights[i] * q
    return total


@inner(REAL(REAL, REAL, REAL, REAL, REAL, INDEX))
def _adapted(a, b, omega, w, alpha, inner_steps):
    """Return u_k."""
    for _ in range(inner_steps):
        w -= alpha * _slope(a, b, omega, w)
    return w


@inner(_SUM)
def _first_order_gradient(weights, floats, query_floats, w, alpha, inner_steps):
    """Return sum_i p_i g_i'(u_k)."""
    n = weights.size
    total = 0.0
    for i in range(n):
        u = _adapted(floats[i], floats[n + i], floats[2 * n + i], w, alpha, inner_steps)
        total += weights[i] * _slope(
            query_floats[i], query_floats[n + i], query_floats[2 * n + i], u
        )
    return total


@inner(_SUM)
def _value(weights, floats, query_floats, w, alpha, inner_steps):
    """Return F(w)."""
    n = weights.size
    total = 0.0
    for i in range(n):
        u = _adapted(floats[i], floats[n + i], floats[2 * n + i], w, alpha, inner_steps)
        a, b, omega = query_floats[i], query_floats[n + i], query_floats[2 * n + i]
        total += weights[i] * (a * u**2 - b * math.sin(omega * u))
    return total


@inner(types.UniTuple(VECTOR, 3)(PROBLEM, PROBLEM))
def _numbers(problem, query):
    """Return the weights and the data of both families, without owners."""
    return borrowed(problem.weights), borrowed(problem.data[0]), borrowed(query.data[0])


@shared_kernel(DESCENT)
def gradient(problem, query, w, alpha, inner_steps, out):
    """Out = grad F(w)."""
    weights, floats, query_floats = _numbers(problem, query)
    out[0] = _gradient(weights, floats, query_floats, w[0], alpha, inner_steps)


@shared_kernel(DESCENT)
def first_order_gradient(problem, query, w, alpha, inner_steps, out):
    """Out = sum_i p_i grad g_i(u_k)."""
    weights, floats, query_floats = _numbers(problem, query)
    out[0] = _first_order_gradient(weights, floats, query_floats, w[0], alpha, inner_steps)


@on_demand(types.void(PROBLEM, PROBLEM, MATRIX, REAL, INDEX, VECTOR), nogil=True)
def values(problem, query, points, alpha, inner_steps, out):
    """out[r] = F(w_r)."""
    weights, floats, query_floats = _numbers(problem, query)
    for r in range(out.size):
        out[r] = _value(weights, floats, query_floats, points[r, 0], alpha, inner_steps)


@on_demand(types.void(PROBLEM, PROBLEM, MATRIX, REAL, INDEX, MATRIX), nogil=True)
def gradients(problem, query, points, alpha, inner_steps, out):
    """out[r] = grad F(w_r)."""
    weights, floats, query_floats = _numbers(problem, query)
    for r in range(out.shape[0]):
        out[r, 0] = _gradient(weights, floats, query_floats, points[r, 0], alpha, inner_steps)


@on_demand(types.void(PROBLEM, PROBLEM, MATRIX, VECTOR, INDEX, VECTOR, MATRIX), nogil=True)
def looks_with(problem, query, points, alphas, inner_steps, losses, slopes):
    """losses[r] = F(w_r) and slopes[r] = grad F(w_r), with an inner step size alphas[r] for each point."""
    weights, floats, query_floats = _numbers(problem, query)
    for r in range(losses.size):
        w, alpha = points[r, 0], alphas[r]
        losses[r] = _value(weights, floats, query_floats, w, alpha, inner_steps)
        slopes[r, 0] = _gradient(weights, floats, query_floats, w, alpha, inner_steps)


LOOPS = Loops(gradient, first_order_gradient, values, gradients, looks_with)
