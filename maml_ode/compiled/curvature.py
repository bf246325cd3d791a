"""Kernels of second and third order that are compiled when a Hessian is first asked for.

A family is packed with stand-ins for them, which return NaN. `complete` puts the kernels themselves into the
native handle, in place, so that every field that holds it sees them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
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
from maml_ode.compiled.decorators import OnDemand, compiled, kernel_on_demand, on_demand

__all__ = ["complete", "without_curvature"]


@kernel_on_demand(HESSIAN, driver=True)
def _no_hessian(i, w, data, out):
    out[:, :] = np.nan


@kernel_on_demand(THIRD, driver=True)
def _no_third(i, w, v, data, out):
    out[:, :] = np.nan


@kernel_on_demand(THIRD_VECTOR, driver=True)
def _no_third_vector(i, w, v, q, data, out):
    out[:] = np.nan


@kernel_on_demand(TAPED_GRADIENT, driver=True)
def _no_bent_gradient(i, w, order, data, tape, out):
    tape[:] = np.nan
    out[:] = np.nan


@kernel_on_demand(TAPED_ADJOINT, driver=True)
def _no_adjoint(i, q, b, data, tape, out, other):
    out[:] = np.nan
    other[:] = np.nan


@kernel_on_demand(TAPED_MATRIX, driver=True)
def _no_matrix(i, order, data, tape, out):
    out[:, :] = np.nan


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


# What waits, by the class of the kernels: its stand-ins, and what puts the kernels themselves in their place.
_WAITING = {
    Kernels: (
        {"hessian": _no_hessian, "third": _no_third, "third_vector": _no_third_vector},
        _complete,
    ),
    TapedKernels: (
        {"bent_gradient": _no_bent_gradient, "adjoint": _no_adjoint, "matrix": _no_matrix},
        _complete_taped,
    ),
}

AnyKernels = TypeVar("AnyKernels", bound=Kernels | TapedKernels)


def without_curvature(kernels: AnyKernels) -> AnyKernels:
    """Return the kernels with stand-ins for those of second and third order that wait."""
    stand_ins = {name: compiled(one) for name, one in _waiting(kernels).items()}
    return replace(kernels, **stand_ins)


def complete(problem: Any, kernels: Kernels | TapedKernels) -> None:
    """Put the kernels that `without_curvature` left out into a packed family."""
    names = _waiting(kernels)
    if names:
        _, put = _WAITING[type(kernels)]
        put(problem, *(compiled(getattr(kernels, name)) for name in names))


def _waiting(kernels: Kernels | TapedKernels) -> dict[str, OnDemand]:
    """Return the stand-ins of a family that compiles these kernels on demand: of all of them, or of none."""
    if type(kernels) not in _WAITING:
        return {}
    stand_ins, _ = _WAITING[type(kernels)]
    waits = all(isinstance(getattr(kernels, name), OnDemand) for name in stand_ins)
    return stand_ins if waits else {}
