"""The derivatives of one task of a problem, the same for families with a tape and without.

``tape`` is what `tape` returns for the order: 1 where products with the Hessian at a point follow the gradient
there, 2 where third derivatives do, else 0. Without a tape its size is 0 and the family's own kernels are asked
anew. A vector without entries in the place of a result asks only for what is kept.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from maml_ode.compiled.contract import INDEX, PROBLEM, VECTOR


@njit(INDEX(PROBLEM, INDEX), cache=True)
def tape_size(problem, order):  # type: ignore[no-untyped-def]
    """Return how many numbers a tape has."""
    return problem.tape_size(order, problem.data) if problem.taped else 0


@njit(VECTOR(PROBLEM, INDEX), cache=True)
def tape(problem, order):  # type: ignore[no-untyped-def]
    """Return a tape for one point of one task."""
    return np.empty(tape_size(problem, order))


@njit(types.void(PROBLEM, INDEX, VECTOR, INDEX, VECTOR, VECTOR), cache=True)
def gradient(problem, i, w, order, tape, out):  # type: ignore[no-untyped-def]
    """Set out = grad f_i(w)."""
    if problem.taped:
        problem.taped_gradient(i, w, order, problem.data, tape, out)
    elif out.size > 0:
        problem.gradient(i, w, problem.data, out)


@njit(types.void(PROBLEM, INDEX, VECTOR, VECTOR, INDEX, VECTOR, VECTOR), cache=True)
def hvp_after(problem, i, w, v, order, tape, out):  # type: ignore[no-untyped-def]
    """Set out = Hess f_i(w) v, after `gradient` at w with the same order of at least 1."""
    if problem.taped:
        problem.taped_hvp(i, v, order, problem.data, tape, out)
    else:
        problem.hvp(i, w, v, problem.data, out)


@njit(types.void(PROBLEM, INDEX, VECTOR, VECTOR, VECTOR, VECTOR), cache=True)
def hvp(problem, i, w, v, tape, out):  # type: ignore[no-untyped-def]
    """Set out = Hess f_i(w) v; a tape of order 1."""
    gradient(problem, i, w, 1, tape, out[:0])
    hvp_after(problem, i, w, v, 1, tape, out)
