"""Kernels of f_i(w) = a_i w^2 - b_i sin(omega_i w), d = 1.

Layout: floats = [a (M), b (M), omega (M)], integers = [M].
"""

from __future__ import annotations

import math

from numba import njit, types

from maml_ode.compiled.contract import (
    DATA,
    GRADIENT,
    HESSIAN,
    HVP,
    INDEX,
    LOSS,
    REAL,
    THIRD,
    THIRD_VECTOR,
    Kernels,
)
from maml_ode.compiled.decorators import kernel_on_demand


@njit(types.UniTuple(REAL, 3)(INDEX, DATA), cache=True)
def _task(i, data):
    """Return a_i, b_i, omega_i."""
    floats, integers = data
    n_tasks = integers[0]
    return floats[i], floats[n_tasks + i], floats[2 * n_tasks + i]


@njit(LOSS, cache=True)
def loss(i, w, data):
    """Return a w^2 - b sin(omega w)."""
    a, b, omega = _task(i, data)
    return a * w[0] * w[0] - b * math.sin(omega * w[0])


@njit(GRADIENT, cache=True)
def gradient(i, w, data, out):
    """Set out = 2 a w - b omega cos(omega w)."""
    a, b, omega = _task(i, data)
    out[0] = 2.0 * a * w[0] - b * omega * math.cos(omega * w[0])


@njit(HVP, cache=True)
def hvp(i, w, v, data, out):
    """Set out = (2 a + b omega^2 sin(omega w)) v."""
    a, b, omega = _task(i, data)
    out[0] = (2.0 * a + b * omega * omega * math.sin(omega * w[0])) * v[0]


@kernel_on_demand(HESSIAN)
def hessian(i, w, data, out):
    """Set out = 2 a + b omega^2 sin(omega w)."""
    a, b, omega = _task(i, data)
    out[0, 0] = 2.0 * a + b * omega * omega * math.sin(omega * w[0])


@kernel_on_demand(THIRD)
def third(i, w, v, data, out):
    """Set out = b omega^3 cos(omega w) v."""
    _, b, omega = _task(i, data)
    out[0, 0] = b * omega * omega * omega * math.cos(omega * w[0]) * v[0]


@kernel_on_demand(THIRD_VECTOR)
def third_vector(i, w, v, q, data, out):
    """Set out = b omega^3 cos(omega w) v q."""
    _, b, omega = _task(i, data)
    out[0] = b * omega * omega * omega * math.cos(omega * w[0]) * v[0] * q[0]


KERNELS = Kernels(loss, gradient, hvp, hessian, third, third_vector)
