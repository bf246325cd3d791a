"""Kernels of second and third order that are compiled when a Hessian is first asked for.

A family is packed with stand-ins for them, which return NaN. `complete` puts the kernels themselves into the
native handle, in place, so that every field that holds it sees them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numba import types

from maml_ode.compiled.contract import HESSIAN, PROBLEM, THIRD, THIRD_VECTOR, Kernels
from maml_ode.compiled.decorators import OnDemand, kernel_on_demand, on_demand

__all__ = ["complete", "without_curvature"]


@kernel_on_demand(HESSIAN)
def _no_hessian(i, w, data, out):  # type: ignore[no-untyped-def]
    out[:, :] = np.nan


@kernel_on_demand(THIRD)
def _no_third(i, w, v, data, out):  # type: ignore[no-untyped-def]
    out[:, :] = np.nan


@kernel_on_demand(THIRD_VECTOR)
def _no_third_vector(i, w, v, q, data, out):  # type: ignore[no-untyped-def]
    out[:] = np.nan


@on_demand(types.void(PROBLEM, *(types.FunctionType(s) for s in (HESSIAN, THIRD, THIRD_VECTOR))))
def _complete(problem, hessian, third, third_vector):  # type: ignore[no-untyped-def]
    problem.hessian = hessian
    problem.third = third
    problem.third_vector = third_vector


def without_curvature(kernels: Any) -> Any:
    """Return the kernels with stand-ins for those of second and third order, if these can wait."""
    if not _waits(kernels):
        return kernels
    hessian, third, third_vector = (
        one.compiled for one in (_no_hessian, _no_third, _no_third_vector)
    )
    return replace(kernels, hessian=hessian, third=third, third_vector=third_vector)


def complete(problem: Any, kernels: Any) -> None:
    """Put the kernels that `without_curvature` left out into a packed family."""
    if _waits(kernels):
        _complete(problem, *(one.compiled for one in _curvature(kernels)))


def _curvature(kernels: Kernels) -> tuple[Any, Any, Any]:
    return kernels.hessian, kernels.third, kernels.third_vector


def _waits(kernels: Any) -> bool:
    """Whether a family compiles its kernels of second and third order on demand: all of them, or none."""
    return isinstance(kernels, Kernels) and all(
        isinstance(one, OnDemand) for one in _curvature(kernels)
    )
