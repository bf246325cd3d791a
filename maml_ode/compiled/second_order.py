"""Fields of second order in time as compiled steppers hold them: w'' + c w' + grad F(w) = 0 on z = (w, v).

With the time t last in z, c = r/t; at t = 0 the path is regular: v' = -grad F/(1 + r). Sums are those of
``maml_ode.flows.second_order_fields``, in their order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from maml_ode._validation import Array
from maml_ode.compiled import maml
from maml_ode.compiled.contract import REAL, VECTOR
from maml_ode.compiled.decorators import inner, kernel_on_demand
from maml_ode.compiled.fields import (
    AFFINE_VALUE,
    COMPOSITION,
    affine,
    affine_field,
    composed_field,
)


@inner(types.void(VECTOR, REAL, VECTOR))
def _with_friction(z, friction, out):
    """Make out, which holds the force -grad F in the place of v', the field at ``z``."""
    d = z.size // 2
    if z.size > 2 * d:
        t = z[2 * d]
        out[2 * d] = 1.0
        if not t > 0.0:
            for k in range(d):
                out[k] = z[d + k]
                out[d + k] /= 1.0 + friction
            return
        friction /= t
    for k in range(d):
        out[k] = z[d + k]
        out[d + k] -= friction * z[d + k]


@kernel_on_demand(COMPOSITION)
def _of_families(problem, query, z, alpha, inner_steps, numbers, out):
    d = z.size // 2
    force = out[d : 2 * d]
    maml.gradient(problem, query, z[:d], alpha, inner_steps, force)
    for k in range(d):
        force[k] = -force[k]
    _with_friction(z, numbers[0], out)


@kernel_on_demand(AFFINE_VALUE)
def _of_quadratic(G, numbers, z, out):
    d = G.shape[0]
    affine(G, numbers[:d], z[:d], out[d : 2 * d])
    _with_friction(z, numbers[d], out)


def second_order_field(gradient: Any, friction: float) -> Any:
    """Return the handle of the field of families, on states (w, v) and (w, v, t).

    Parameters
    ----------
    gradient : Field
        The handle of -grad F.
    friction : float
        c, or r where the state shows the time.
    """
    return composed_field(gradient, _of_families, np.array([friction]))


def second_order_quadratic(G: Array, c: Array, friction: float) -> Any:
    """Return the handle of the same field of F = w'Gw/2 - c'w + k."""
    return affine_field(G, np.append(c, friction), _of_quadratic)
