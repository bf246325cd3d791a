"""The contract of the compiled layer: six kernels per family, one native object per family.

A family's data travel as one pair ``(floats, integers)`` of flat arrays whose layout is the family's own
business. A *problem* is that pair with the weights p_i and the six kernels, held in a Numba ``structref``:
drivers take it as a single argument, so that a call from Python costs about a microsecond. (Passing the
kernels themselves costs 25 microseconds each, because Numba looks their addresses up at every call.)
Kernels are first-class function values with explicit signatures: a driver is compiled once, kept in the
on-disk cache, and shared by all families and processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types
from numba.experimental import structref

from maml_ode._validation import Array

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


@structref.register
class _ProblemType(types.StructRef):
    """Numba type of a packed family."""


class Problem(structref.StructRefProxy):
    """A packed family as Python sees it: an opaque handle."""

    def __new__(cls, *args: Any) -> Problem:
        """Refuse: a handle is made by `pack`."""
        raise TypeError("build a Problem with pack().")


structref.define_boxing(_ProblemType, Problem)

PROBLEM = _ProblemType(
    [
        ("loss", types.FunctionType(LOSS)),
        ("gradient", types.FunctionType(GRADIENT)),
        ("hvp", types.FunctionType(HVP)),
        ("hessian", types.FunctionType(HESSIAN)),
        ("third", types.FunctionType(THIRD)),
        ("third_vector", types.FunctionType(THIRD_VECTOR)),
        ("weights", VECTOR),
        ("data", DATA),
    ]
)


@njit(
    PROBLEM(
        *(types.FunctionType(s) for s in (LOSS, GRADIENT, HVP, HESSIAN, THIRD, THIRD_VECTOR)),
        VECTOR,
        DATA,
    ),
    cache=True,
)
def _pack(loss, gradient, hvp, hessian, third, third_vector, weights, data):  # type: ignore[no-untyped-def]
    problem = structref.new(PROBLEM)
    problem.loss = loss
    problem.gradient = gradient
    problem.hvp = hvp
    problem.hessian = hessian
    problem.third = third
    problem.third_vector = third_vector
    problem.weights = weights
    problem.data = data
    return problem


def pack(kernels: Kernels, weights: Array, floats: Array, integers: Any) -> Any:
    """Return the native handle of a family.

    Parameters
    ----------
    kernels : Kernels
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
    return _pack(
        kernels.loss,
        kernels.gradient,
        kernels.hvp,
        kernels.hessian,
        kernels.third,
        kernels.third_vector,
        np.array(weights, dtype=np.float64),
        data,
    )
