"""The MAML loss and its gradient at many points in one call.

``points`` has one row per point. With no inner steps it is the expected loss, as in ``maml_ode.compiled.maml``,
whose values these are to the last bit. The interpreter's lock is free meanwhile, so that threads may share points.
"""

from __future__ import annotations

from numba import types

from maml_ode.compiled import maml
from maml_ode.compiled.contract import INDEX, MATRIX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import on_demand
from maml_ode.compiled.descents import HELD


@on_demand(types.void(PROBLEM, PROBLEM, MATRIX, REAL, INDEX, VECTOR), driver=True, nogil=True)
def values(problem, query, points, alpha, inner_steps, out):
    """out[r] = F(w_r)."""
    for r in range(out.size):
        out[r] = maml.value(problem, query, points[r], alpha, inner_steps)


@on_demand(
    types.void(HELD, PROBLEM, PROBLEM, MATRIX, VECTOR, INDEX, VECTOR, MATRIX),
    driver=True,
    nogil=True,
)
def looks_with(handle, problem, query, points, alphas, inner_steps, losses, gradients):
    """losses[r] = F(w_r) and gradients[r] = grad F(w_r), with an inner step size alphas[r] for each point."""
    for r in range(losses.size):
        losses[r] = maml.value(problem, query, points[r], alphas[r], inner_steps)
        handle.descent(problem, query, points[r], alphas[r], inner_steps, gradients[r])


@on_demand(types.void(HELD, PROBLEM, PROBLEM, MATRIX, REAL, INDEX, MATRIX), driver=True, nogil=True)
def gradients(handle, problem, query, points, alpha, inner_steps, out):
    """out[r] = grad F(w_r), by a gradient of ``maml_ode.compiled.maml`` that is held."""
    for r in range(out.shape[0]):
        handle.descent(problem, query, points[r], alpha, inner_steps, out[r])
