"""What `compare` was asked for, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maml_ode._validation import (
    Array,
    as_array,
    as_sequence,
    check_real,
    check_text,
    shown,
    unknown_name,
)
from maml_ode.flows import Flow
from maml_ode.integrate.exact import why_not_exact
from maml_ode.integrate.methods import resolve
from maml_ode.sizes import MATRIX_ON_A_PATH

__all__ = [
    "RTOLS",
    "check_methods",
    "check_prices",
    "check_rtols",
    "check_step_sizes",
    "check_times",
]

EXPLICIT = ("Tsit5", "DOP853", "RK45", "LSODA", "RKC2")
IMPLICIT = ("Radau", "BDF", "Rodas5P")
RTOLS = (1e-2, 1e-4, 1e-6, 1e-8)
MOST_STEPS = 2.0**62
EULER_STEPS = (25, 50, 100, 200, 400)


def check_methods(flow: Flow, methods: Any) -> dict[str, Any]:
    """Return the methods by their labels."""
    if methods is None:
        small = flow.dim <= MATRIX_ON_A_PATH
        small = small and all(phase.field.has_jacobian for phase in flow.phases)
        names = [*EXPLICIT, *(IMPLICIT if small else ())]
        return {name: name for name in (names if why_not_exact(flow) else [*names, "exact"])}
    if isinstance(methods, Mapping):
        found = [(check_text("a label of methods", label), one) for label, one in methods.items()]
    else:
        listed = as_sequence("methods", methods, "methods, such as ['RK45', 'DOP853']")
        found = [
            (one if isinstance(one, str) else getattr(one, "__name__", ""), one) for one in listed
        ]
    chosen: dict[str, Any] = {}
    for label, method in found:
        if label.lower() == "euler":
            raise ValueError("Euler is not one of the methods: its runs are given by step_sizes=.")
        if method not in ("auto", "exact"):
            resolve(method)
        if label in chosen:
            raise ValueError(
                f"two of the methods are called {label}; pass a mapping of labels to methods."
            )
        chosen[label] = method
    return chosen


def check_rtols(rtols: Any, methods: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the relative tolerances of every method."""
    by_label = rtols if isinstance(rtols, Mapping) else None
    if by_label is not None:
        for label in by_label:
            if label not in methods:
                raise ValueError(unknown_name("method in rtols", label, methods))
    shared = RTOLS if by_label is not None else as_sequence("rtols", rtols, "relative tolerances")
    found = {}
    for label in methods:
        listed: Sequence[Any] = shared
        if by_label is not None and label in by_label:
            listed = as_sequence(f"rtols[{label!r}]", by_label[label], "relative tolerances")
        found[label] = [check_real("rtols", one, minimum=0.0, strict=True) for one in listed]
    return found


def check_step_sizes(step_sizes: Any, horizon: float) -> list[float]:
    """Return Euler's step sizes, of which each makes a step at least."""
    if step_sizes is None:
        return [horizon / n for n in EULER_STEPS]
    listed = as_sequence("step_sizes", step_sizes, "step sizes")
    found = [check_real("step_sizes", one, minimum=0.0, strict=True) for one in listed]
    for h in found:
        if not horizon / h > 0.5:
            raise ValueError(
                f"the step size {h:g} makes round(t_max/h) = 0 steps to t_max = {horizon:g}; use a smaller "
                "one."
            )
        if not horizon / h < MOST_STEPS:
            raise ValueError(
                f"the step size {h:g} makes {horizon / h:.3g} steps to t_max = {horizon:g}, more than can be "
                "counted; use a larger one."
            )
    return found


def check_times(times: Any, horizon: float) -> Array:
    """Return the times at which errors are taken; the last one is the horizon."""
    if times is None:
        return np.array([horizon])
    at = as_array("times", times, (None,))
    if not at.size or at[0] <= 0 or (np.diff(at) <= 0).any() or not math.isclose(at[-1], horizon):
        raise ValueError(
            f"times must increase from above 0 to t_max = {horizon:g}, not {shown(times)}."
        )
    at[-1] = horizon
    return at


def check_prices(prices: Mapping[str, float] | None, dim: int) -> dict[str, float]:
    """Return what evaluations cost in gradient passes."""
    paid = {"hvp": 1.0, "hessian": float(dim), "factorization": 0.0}
    if prices is not None and not isinstance(prices, Mapping):
        raise TypeError(
            f'prices must be a mapping of names to numbers, such as {{"hvp": 2.0}}, not {shown(prices)}.'
        )
    for name, price in ({} if prices is None else prices).items():
        if name not in paid:
            raise ValueError(unknown_name("price", name, paid))
        paid[name] = check_real(f"the price {name}", price, minimum=0.0)
    return paid
