"""Land on a switch: find the time at which a phase's ending rule is met, by stepping to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import OdeSolver
from scipy.optimize import brentq

from maml_ode._validation import Array
from maml_ode.integrate.monitor import Crossing

__all__ = ["Landing", "locate"]

RELATIVE_ACCURACY = 1e-13
MOST_CORRECTIONS = 8


@dataclass(frozen=True)
class Landing:
    """A located switch: its time and state, and the pieces of the path that lead to it."""

    t: float
    w: Array
    times: list[float]
    interpolants: list[Any]


def locate(
    crossing: Crossing,
    rule: Callable[[float, Array], float],
    scale: float | None,
    method: type[OdeSolver],
    field: Callable[[float, Array], Array],
    options: Mapping[str, Any],
    spent: Callable[[OdeSolver], None],
) -> Landing:
    """Return where ``rule`` falls to 0 inside a step, on the method's own path.

    The interpolant gives a first time, by Brent's method. An interpolant is less accurate than the method,
    so the step is then taken again to that time, and the time corrected by the secant rule until the
    re-stepped state meets the rule to 1e-13 of ``scale`` or no longer improves.

    Parameters
    ----------
    crossing : Crossing
        The step, its bracket and interpolant.
    rule : callable
        ``rule(t, w)``, positive before the switch.
    scale : float or None
        The size that the rule's value is compared with; by default its value at the start of the step.
    method, field, options
        What the step was taken with.
    spent : callable
        Told of every solver that stepped.
    """
    t_old, w_old = crossing.t_old, crossing.w_old
    if crossing.t_new <= t_old:
        return Landing(t_old, w_old, [], [])
    at_end = rule(crossing.t_new, crossing.interpolant(crossing.t_new))
    at_start = rule(t_old, w_old)
    if at_start <= 0:
        return Landing(t_old, w_old, [], [])
    if at_end > 0:  # the interpolant and the step disagree by rounding: the end of the step it is
        first = crossing.t_new
    else:
        first = float(
            brentq(
                lambda t: rule(t, crossing.interpolant(t)),
                t_old,
                crossing.t_new,
                xtol=4 * np.spacing(max(abs(t_old), abs(crossing.t_new))),
                rtol=4 * np.finfo(float).eps,
            )
        )
    best = _step_to(first, crossing, method, field, options, spent)
    value = rule(best.t, best.w)
    slope = _slope(rule, crossing, first)
    for _ in range(MOST_CORRECTIONS):
        if abs(value) <= RELATIVE_ACCURACY * (scale or at_start) or slope == 0:
            break
        target = best.t - value / slope
        if not t_old < target or target == best.t:
            break
        landing = _step_to(target, crossing, method, field, options, spent)
        new_value = rule(landing.t, landing.w)
        if abs(new_value) >= abs(value):
            break
        slope = (new_value - value) / (landing.t - best.t)
        best, value = landing, new_value
    return best


def _slope(rule: Callable[[float, Array], float], crossing: Crossing, t: float) -> float:
    """Return the rule's slope along the interpolant at ``t``, by a backward difference."""
    before = t - 1e-4 * (t - crossing.t_old)
    if before == t:
        return 0.0
    rise = rule(t, crossing.interpolant(t)) - rule(before, crossing.interpolant(before))
    return rise / (t - before)


def _step_to(
    t: float,
    crossing: Crossing,
    method: type[OdeSolver],
    field: Callable[[float, Array], Array],
    options: Mapping[str, Any],
    spent: Callable[[OdeSolver], None],
) -> Landing:
    """Integrate from the start of the step to ``t`` with the same method and tolerances."""
    if t <= crossing.t_old:
        return Landing(crossing.t_old, crossing.w_old, [], [])
    settings = {**options, "first_step": t - crossing.t_old}
    solver = method(field, crossing.t_old, crossing.w_old, t, **settings)
    times: list[float] = []
    interpolants: list[Any] = []
    try:
        while solver.status == "running":
            solver.step()
            if solver.status == "failed":
                return Landing(t, np.asarray(crossing.interpolant(t)), [t], [crossing.interpolant])
            times.append(float(solver.t))
            interpolants.append(solver.dense_output())
    finally:
        spent(solver)
    return Landing(t, solver.y.copy(), times, interpolants)
