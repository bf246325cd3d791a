"""The contract of the compiled layer: six kernels per family, plain or taped, one native object per family.

A family's data travel as one pair ``(floats, integers)`` of flat arrays whose layout is the family's own
business. A *problem* is that pair with the weights p_i and the kernels, held in a Numba ``structref``:
drivers take it as a single argument, so that a call from Python costs about a microsecond. (Passing the
kernels themselves costs 25 microseconds each, because Numba looks their addresses up at every call.)
Kernels are first-class function values with explicit signatures: a driver is compiled once, kept in the
on-disk cache, and shared by all families and processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types
from numba.experimental import structref

from maml_ode._validation import Array
from maml_ode.compiled.decorators import inner, on_demand
from maml_ode.compiled.scratch import borrowed

INDEX = types.int64
REAL = types.float64
VECTOR = types.float64[::1]
MATRIX = types.float64[:, ::1]
DATA = types.Tuple((types.float64[::1], types.int64[::1]))

# i: the task; w: the point; data: the family's pair; the last argument receives the result.
LOSS = REAL(INDEX, VECTOR, DATA)  # f_i(w)
GRADIENT = types.void(INDEX, VECTOR, DATA, VECTOR)  # grad f_i(w)
HVP = types.void(INDEX, VECTOR, VECTOR, DATA, VECTOR)  # Hess f_i(w) v
HESSIAN = types.void(INDEX, VECTOR, DATA, MATRIX)  # Hess f_i(w)
THIRD = types.void(INDEX, VECTOR, VECTOR, DATA, MATRIX)  # D^3 f_i(w)[v, ., .]
THIRD_VECTOR = types.void(INDEX, VECTOR, VECTOR, VECTOR, DATA, VECTOR)  # D^3 f_i(w)[v, q, .]

# With a tape, the first VECTOR after the data, which keeps what is learnt about a task at w for the products at
# that w. order: 0 for the gradient alone, 1 if Hessian-vector products follow, 2 if third derivatives follow.
# A vector without entries in the place of a result asks for what is kept alone.
TAPE_SIZE = INDEX(INDEX, DATA)  # (order, data): numbers on a tape, for any task
TAPED_GRADIENT = types.void(
    INDEX, VECTOR, INDEX, DATA, VECTOR, VECTOR
)  # (i, w, order): grad f_i(w)
TAPED_HVP = types.void(
    INDEX, VECTOR, INDEX, DATA, VECTOR, VECTOR
)  # (i, v, order): H v, H = Hess f_i(w)
# (i, q, b) after the product with v, order 2: H b + D^3 f_i(w)[v, q, .], and H q.
TAPED_ADJOINT = types.void(INDEX, VECTOR, VECTOR, DATA, VECTOR, VECTOR, VECTOR)
# (i, order): H, or with order 2, after the product with v, D^3 f_i(w)[v, ., .]; ends what was kept.
TAPED_MATRIX = types.void(INDEX, INDEX, DATA, VECTOR, MATRIX)


@dataclass(frozen=True)
class Kernels:
    """A family's six compiled kernels.

    Each is a module-level ``@njit(SIGNATURE, cache=True)`` function with the signature of the same
    name in this module. ``third_vector`` lets the Hessian-vector product of the MAML loss work
    without forming a d x d matrix.
    """

    loss: Any
    gradient: Any
    hvp: Any
    hessian: Any
    third: Any
    third_vector: Any


@dataclass(frozen=True)
class TapedKernels:
    """The kernels of a family whose derivatives at one point share work, each with its signature ``TAPED_...``.

    ``gradient`` is asked for orders 0 and 1, ``bent_gradient`` for order 2.

    ``maml_ode.compiled.derivatives`` offers the same derivatives for families of either kind.
    """

    loss: Any
    tape_size: Any
    gradient: Any
    bent_gradient: Any
    hvp: Any
    adjoint: Any
    matrix: Any


@structref.register
class _ProblemType(types.StructRef):
    """Numba type of a packed family."""

    @property
    def mangling_args(self) -> tuple[str, tuple[()]]:
        """What stands for the type in the names of functions: its own name lists its fields."""
        return "ProblemType", ()


class Problem(structref.StructRefProxy):
    """A packed family as Python sees it: an opaque handle."""

    def __new__(cls, *args: Any) -> Problem:
        """Refuse: a handle is made by `pack`."""
        raise TypeError("build a Problem with pack().")


structref.define_boxing(_ProblemType, Problem)

_PLAIN = {
    "gradient": types.FunctionType(GRADIENT),
    "hvp": types.FunctionType(HVP),
    "hessian": types.FunctionType(HESSIAN),
    "third": types.FunctionType(THIRD),
    "third_vector": types.FunctionType(THIRD_VECTOR),
}
_TAPED = {
    "tape_size": types.FunctionType(TAPE_SIZE),
    "taped_gradient": types.FunctionType(TAPED_GRADIENT),
    "taped_bent_gradient": types.FunctionType(TAPED_GRADIENT),
    "taped_hvp": types.FunctionType(TAPED_HVP),
    "taped_adjoint": types.FunctionType(TAPED_ADJOINT),
    "taped_matrix": types.FunctionType(TAPED_MATRIX),
}

PROBLEM = _ProblemType(
    [
        ("loss", types.FunctionType(LOSS)),
        ("weights", VECTOR),  # these two without owners, which are held beside them
        ("data", DATA),
        ("owned_weights", VECTOR),
        ("owned_data", DATA),
        ("taped", types.boolean),  # which of the two groups is set
        *_PLAIN.items(),
        *_TAPED.items(),
    ]
)


@inner(types.void(PROBLEM, VECTOR, DATA))
def _hold(problem, weights, data):
    problem.owned_weights = weights
    problem.owned_data = data
    problem.weights = borrowed(weights)
    problem.data = borrowed(data[0]), borrowed(data[1])


@on_demand(
    PROBLEM(types.FunctionType(LOSS), _PLAIN["gradient"], _PLAIN["hvp"], VECTOR, DATA),
    driver=True,
)
def _pack(loss, gradient, hvp, weights, data):
    problem = structref.new(PROBLEM)
    problem.loss = loss
    _hold(problem, weights, data)
    problem.taped = False
    problem.gradient = gradient
    problem.hvp = hvp
    return problem


@on_demand(
    PROBLEM(
        types.FunctionType(LOSS),
        _TAPED["tape_size"], _TAPED["taped_gradient"], _TAPED["taped_hvp"], VECTOR, DATA,
    ),
    driver=True,
)  # fmt: skip
def _pack_taped(loss, size, gradient, hvp, weights, data):
    problem = structref.new(PROBLEM)
    problem.loss = loss
    _hold(problem, weights, data)
    problem.taped = True
    problem.tape_size = size
    problem.taped_gradient = gradient
    problem.taped_hvp = hvp
    return problem


def pack(kernels: Kernels | TapedKernels, weights: Array, floats: Array, integers: Any) -> Any:
    """Return the native handle of a family, without the kernels of second and third order.

    ``maml_ode.compiled.curvature`` puts those into it.

    Parameters
    ----------
    kernels : Kernels or TapedKernels
        The family's kernels; the caller keeps them alive for as long as the handle is used.
    weights : ndarray of shape (M,)
        Task weights p_i.
    floats, integers : ndarray
        The family's data in its own flat layout; held by reference, not copied, when they are
        contiguous float64 and int64 arrays.
    """
    data = (
        np.ascontiguousarray(floats, dtype=np.float64),
        np.ascontiguousarray(integers, dtype=np.int64),
    )
    p = np.array(weights, dtype=np.float64)
    loss, gradient, hvp = kernels.loss, kernels.gradient, kernels.hvp
    if isinstance(kernels, TapedKernels):
        return _pack_taped(loss, kernels.tape_size, gradient, hvp, p, data)
    return _pack(loss, gradient, hvp, p, data)
