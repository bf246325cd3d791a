"""Kernels of f_i(w) = a*w**2 - b*sin(omega*w), with a, b, omega of each task.

Layout: floats = [a (M), b (M), omega (M)], integers = [M].

Generated; ``python -m maml_ode.tasks.symbolic.committed`` writes this file.
"""

# ruff: noqa: F401, RET504
# fmt: off

import math

from numba import njit

from maml_ode.compiled.contract import (
    GRADIENT,
    HESSIAN,
    HVP,
    LOSS,
    REAL,
    THIRD,
    THIRD_VECTOR,
    Kernels,
)
from maml_ode.compiled.decorators import kernel_on_demand

ON_DISK = True


@njit(LOSS, cache=ON_DISK, error_model="numpy")
def loss(i, w, data):
    """Return f_i(w)."""
    floats, integers = data
    n_tasks = integers[0]
    p0 = floats[0 * n_tasks + i]
    p1 = floats[1 * n_tasks + i]
    p2 = floats[2 * n_tasks + i]
    w0 = w[0]
    t0 = p2 * w0
    t1 = math.sin(t0)
    f = p0 * w0 ** 2 - p1 * t1
    return f


@njit(GRADIENT, cache=ON_DISK, error_model="numpy")
def gradient(i, w, data, out):
    """Set out = grad f_i(w)."""
    floats, integers = data
    n_tasks = integers[0]
    p0 = floats[0 * n_tasks + i]
    p1 = floats[1 * n_tasks + i]
    p2 = floats[2 * n_tasks + i]
    w0 = w[0]
    t0 = p2 * w0
    t1_0 = p2 * math.cos(t0)
    f_0 = -p1 * t1_0 + 2.0 * p0 * w0
    out[0] = f_0


@njit(HVP, cache=ON_DISK, error_model="numpy")
def hvp(i, w, v, data, out):
    """Set out = Hess f_i(w) v."""
    floats, integers = data
    n_tasks = integers[0]
    p0 = floats[0 * n_tasks + i]
    p1 = floats[1 * n_tasks + i]
    p2 = floats[2 * n_tasks + i]
    w0 = w[0]
    v0 = v[0]
    t0_1 = p2 * v0
    t0 = p2 * w0
    t1_0_1 = -p2 * t0_1 * math.sin(t0)
    f_0 = -p1 * t1_0_1 + 2.0 * p0 * v0
    out[0] = f_0


@kernel_on_demand(HESSIAN, error_model="numpy")
def hessian(i, w, data, out):
    """Set out = Hess f_i(w)."""
    floats, integers = data
    n_tasks = integers[0]
    p0 = floats[0 * n_tasks + i]
    p1 = floats[1 * n_tasks + i]
    p2 = floats[2 * n_tasks + i]
    w0 = w[0]
    t0 = p2 * w0
    t1_0_0 = -p2 ** 2 * math.sin(t0)
    f_0_0 = 2.0 * p0 - p1 * t1_0_0
    out[0, 0] = f_0_0


@kernel_on_demand(THIRD, error_model="numpy")
def third(i, w, v, data, out):
    """Set out = D^3 f_i(w)[v]."""
    floats, integers = data
    n_tasks = integers[0]
    p1 = floats[1 * n_tasks + i]
    p2 = floats[2 * n_tasks + i]
    w0 = w[0]
    v0 = v[0]
    t0 = p2 * w0
    t0_1 = p2 * v0
    t1_0_0_1 = -t0_1 * p2 ** 2 * math.cos(t0)
    f_0_0 = -p1 * t1_0_0_1
    out[0, 0] = f_0_0


@kernel_on_demand(THIRD_VECTOR, error_model="numpy")
def third_vector(i, w, v, q, data, out):
    """Set out = D^3 f_i(w)[v, q]."""
    floats, integers = data
    n_tasks = integers[0]
    p1 = floats[1 * n_tasks + i]
    p2 = floats[2 * n_tasks + i]
    w0 = w[0]
    v0 = v[0]
    q0 = q[0]
    t0 = p2 * w0
    t0_1 = p2 * v0
    t0_2 = p2 * q0
    t1_0_1_2 = -p2 * t0_1 * t0_2 * math.cos(t0)
    f_0 = -p1 * t1_0_1_2
    out[0] = f_0


KERNELS = Kernels(loss, gradient, hvp, hessian, third, third_vector)
