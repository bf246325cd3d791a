"""Kernels of second and third order that are compiled when a Hessian is first asked for.

A family is packed without them: a compiled function that calls one raises RuntimeError. `complete` puts them into
the native handle, in place, so that every field that holds it sees them.
"""

from __future__ import annotations

from typing import Any

from numba import types

from maml_ode.compiled.contract import (
    HESSIAN,
    PROBLEM,
    TAPED_ADJOINT,
    TAPED_GRADIENT,
    TAPED_MATRIX,
    THIRD,
    THIRD_VECTOR,
    Kernels,
    TapedKernels,
)
from maml_ode.compiled.decorators import OnDemand, compiled, on_demand

__all__ = ["complete", "waits"]


@on_demand(
    types.void(PROBLEM, *(types.FunctionType(s) for s in (HESSIAN, THIRD, THIRD_VECTOR))),
    driver=True,
)
def _complete(problem, hessian, third, third_vector):
    problem.hessian = hessian
    problem.third = third
    problem.third_vector = third_vector


@on_demand(
    types.void(
        PROBLEM, *(types.FunctionType(s) for s in (TAPED_GRADIENT, TAPED_ADJOINT, TAPED_MATRIX))
    ),
    driver=True,
)
def _complete_taped(problem, bent_gradient, adjoint, matrix):
    problem.taped_bent_gradient = bent_gradient
    problem.taped_adjoint = adjoint
    problem.taped_matrix = matrix


def waits(kernels: Kernels | TapedKernels) -> bool:
    """Whether all kernels of second and third order are to be compiled when they are needed."""
    return all(isinstance(kernel, OnDemand) for kernel in _of_higher_order(kernels))


def complete(problem: Any, kernels: Kernels | TapedKernels) -> None:
    """Put the kernels that ``pack`` has left out into a packed family."""
    put = _complete_taped if isinstance(kernels, TapedKernels) else _complete
    put(problem, *(compiled(kernel) for kernel in _of_higher_order(kernels)))


def _of_higher_order(kernels: Kernels | TapedKernels) -> tuple[Any, Any, Any]:
    if isinstance(kernels, TapedKernels):
        return kernels.bent_gradient, kernels.adjoint, kernels.matrix
    return kernels.hessian, kernels.third, kernels.third_vector
