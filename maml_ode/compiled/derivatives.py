"""The derivatives of one task of a problem, the same for families with a tape and without.

``tape`` is what `tape` returns for the order: PRODUCTS where products with the Hessian at a point follow the
gradient there, THIRDS where third derivatives do, else ALONE. Without a tape its size is 0 and the family's own
kernels are asked anew. A vector without entries in the place of a result asks only for what is kept.
"""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled.contract import INDEX, PROBLEM, VECTOR
from maml_ode.compiled.decorators import inner

ALONE, PRODUCTS, THIRDS = range(3)


@inner(INDEX(PROBLEM, INDEX))
def tape_size(problem, order):
    """Return how many numbers a tape has."""
    return problem.tape_size(order, problem.data) if problem.taped else 0


@inner(VECTOR(PROBLEM, INDEX))
def tape(problem, order):
    """Return a tape for one point of one task."""
    return np.empty(tape_size(problem, order))


@inner(types.void(PROBLEM, INDEX, VECTOR, INDEX, VECTOR, VECTOR))
def gradient(problem, i, w, order, tape, out):
    """Set out = grad f_i(w)."""
    if problem.taped:
        # One call for both: what surrounds the call of a value takes long to compile.
        follow = problem.taped_bent_gradient if order > 1 else problem.taped_gradient
        follow(i, w, order, problem.data, tape, out)
    elif out.size > 0:
        problem.gradient(i, w, problem.data, out)


@inner(types.void(PROBLEM, INDEX, VECTOR, VECTOR, INDEX, VECTOR, VECTOR))
def hvp_after(problem, i, w, v, order, tape, out):
    """Set out = Hess f_i(w) v, after `gradient` at w with the same order of at least 1."""
    if problem.taped:
        problem.taped_hvp(i, v, order, problem.data, tape, out)
    else:
        problem.hvp(i, w, v, problem.data, out)


@inner(types.void(PROBLEM, INDEX, VECTOR, VECTOR, VECTOR, VECTOR))
def hvp(problem, i, w, v, tape, out):
    """Set out = Hess f_i(w) v; a tape of order 1."""
    gradient(problem, i, w, 1, tape, out[:0])
    hvp_after(problem, i, w, v, 1, tape, out)
