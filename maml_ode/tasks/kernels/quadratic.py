"""Kernels of f_i(w) = w'H_i w/2 - b_i'w + c_i.

Layout: floats = [H (M d d), b (M d), c (M)], integers = [M, d].
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maml_ode.compiled.contract import (
    GRADIENT,
    HESSIAN,
    HVP,
    LOSS,
    THIRD,
    THIRD_VECTOR,
    Kernels,
)
from maml_ode.compiled.decorators import kernel_on_demand


@njit(LOSS, cache=True)
def loss(i, w, data):
    """Return w'H w/2 - b'w + c."""
    floats, integers = data
    n_tasks, d = integers[0], integers[1]
    rows = i * d * d
    b = n_tasks * d * d + i * d
    total = floats[n_tasks * d * d + n_tasks * d + i]
    for r in range(d):
        product = 0.0
        for c in range(d):
            product += floats[rows + r * d + c] * w[c]
        total += (0.5 * product - floats[b + r]) * w[r]
    return total


@njit(HVP, cache=True)
def hvp(i, w, v, data, out):
    """Set out = H v."""
    floats, integers = data
    d = integers[1]
    matrix = floats[i * d * d : (i + 1) * d * d].reshape((d, d))
    np.dot(matrix, v, out)


@njit(GRADIENT, cache=True)
def gradient(i, w, data, out):
    """Set out = H w - b."""
    floats, integers = data
    n_tasks, d = integers[0], integers[1]
    hvp(i, w, w, data, out)
    b = n_tasks * d * d + i * d
    for r in range(d):
        out[r] -= floats[b + r]


@kernel_on_demand(HESSIAN)
def hessian(i, w, data, out):
    """Set out = H."""
    floats, integers = data
    d = integers[1]
    for r in range(d):
        for c in range(d):
            out[r, c] = floats[(i * d + r) * d + c]


@kernel_on_demand(THIRD)
def third(i, w, v, data, out):
    """Set out = 0."""
    out[:, :] = 0.0


@kernel_on_demand(THIRD_VECTOR)
def third_vector(i, w, v, q, data, out):
    """Set out = 0."""
    out[:] = 0.0


KERNELS = Kernels(loss, gradient, hvp, hessian, third, third_vector)
