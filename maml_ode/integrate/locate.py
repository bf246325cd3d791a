"""Land on a switch: find the first time at which a phase's ending rule is met, by stepping to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.integrate.evaluation import RuleEvaluator
from maml_ode.integrate.roots import brent
from maml_ode.integrate.solvers.landings import JUMP, MOST_CORRECTIONS, RELATIVE_ACCURACY
from maml_ode.integrate.watch.finding import Crossing, Interpolant

__all__ = ["Landing", "locate"]

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Landing:
    """A located switch: its time and state, and the pieces of the path that lead to it."""

    t: float
    w: Array
    times: list[float]
    interpolants: list[Any]


Restep = Callable[[float], Landing]


def locate(crossing: Crossing, rule: RuleEvaluator, restep: Restep) -> Landing:
    """Return where ``rule`` is first met inside a step, on the method's own path.

    The interpolant gives a first time. An interpolant is less accurate than the method, so the step is then taken
    again to that time. For a rule that falls through 0 the time is corrected by the secant rule until the
    re-stepped state meets it to 1e-13 of its scale or no longer improves. For one that jumps, or is 0 beyond its
    crossing, the interpolant is shifted to agree with the re-stepped state and bisected anew: near that state
    the shifted interpolant is as accurate as the method, so that two or three such rounds settle the time for
    any kind of rule.

    Parameters
    ----------
    crossing : Crossing
        The step, a bracket and its interpolant.
    rule : RuleEvaluator
        The phase's ending rule.
    restep : callable
        ``restep(t)`` integrates from the start of the step to ``t`` with the same method and tolerances.
    """
    dense = crossing.interpolant
    if crossing.high <= crossing.t_old or dense is None:
        return Landing(crossing.t_old, crossing.w_old, [], [])
    low, high = crossing.low, crossing.high
    # In this order, so that the search that follows finds the value at ``low`` still known.
    at_high = rule(high, np.asarray(dense(high)))
    at_low = rule(low, _state(crossing, dense, low))
    if rule.is_met(at_low):
        return restep(low) if low > crossing.t_old else Landing(low, crossing.w_old, [], [])
    if at_high < 0 < at_low and np.isfinite(at_high) and np.isfinite(at_low):
        landing = _by_secant(crossing, dense, rule, restep, at_low)
        if landing is not None:
            return landing
    return _by_shifts(crossing, dense, rule, restep)


def _state(crossing: Crossing, dense: Interpolant, t: float) -> Array:
    return crossing.w_old if t == crossing.t_old else np.asarray(dense(t))


def _by_secant(
    crossing: Crossing, dense: Interpolant, rule: RuleEvaluator, restep: Restep, at_low: float
) -> Landing | None:
    """Land on a rule that falls through 0; None if it turns out to jump."""
    low, high = crossing.low, crossing.high
    first, converged = brent(
        lambda t: rule(t, _state(crossing, dense, t)),
        low,
        high,
        xtol=4 * np.spacing(max(abs(low), abs(high))),
        rtol=4 * EPS,
    )
    if not converged:  # a rule that is very flat or jumps
        return None
    best = restep(first)
    value = rule(best.t, best.w)
    slope = _slope(rule, crossing, dense, first)
    scale = rule.rule.scale or at_low
    for _ in range(MOST_CORRECTIONS):
        if abs(value) <= RELATIVE_ACCURACY * scale or slope == 0:
            break
        target = best.t - value / slope
        if not crossing.t_old < target or target == best.t:
            break
        landing = restep(target)
        new_value = rule(landing.t, landing.w)
        if abs(new_value) >= abs(value):
            break
        slope = (new_value - value) / (landing.t - best.t)
        best, value = landing, new_value
    return best if abs(value) <= JUMP * max(scale, at_low) else None


def _slope(rule: RuleEvaluator, crossing: Crossing, dense: Interpolant, t: float) -> float:
    """Return the rule's slope along the interpolant at ``t``, by a backward difference."""
    before = t - 1e-4 * (t - crossing.t_old)
    if before == t:
        return 0.0
    rise = rule(t, np.asarray(dense(t))) - rule(before, np.asarray(dense(before)))
    return float(rise / (t - before))


def _by_shifts(
    crossing: Crossing, dense: Interpolant, rule: RuleEvaluator, restep: Restep
) -> Landing:
    """Land on a rule of any kind: bisect whether it is met, on an interpolant shifted to the method's path."""
    low, high = crossing.low, crossing.high
    t = _first_met(rule, lambda s: _state(crossing, dense, s), low, high)
    landing = restep(t)
    for _ in range(MOST_CORRECTIONS):
        shift = landing.w - np.asarray(dense(landing.t))

        def shifted(s: float, shift: Array = shift) -> Array:
            return np.asarray(dense(s) + shift)

        bracket = _bracket(rule, shifted, landing.t, crossing.t_old, high)
        if bracket is None:
            break
        t = _first_met(rule, shifted, *bracket)
        if abs(t - landing.t) <= 1e-9 * (t - crossing.t_old):
            w = landing.w if t == landing.t else shifted(t)
            times = [*landing.times[:-1], t]
            return Landing(t, w, times, landing.interpolants)
        landing = restep(t)
    return landing


def _bracket(
    rule: RuleEvaluator, path: Interpolant, t: float, start: float, end: float
) -> tuple[float, float] | None:
    """Return times around ``t`` between which the rule comes to be met along ``path``."""
    width = 1e-9 * (end - start)
    while True:
        low, high = max(t - width, start), min(t + width, end)
        if not rule.is_met(rule(low, path(low))) and rule.is_met(rule(high, path(high))):
            return low, high
        if low == start and high == end:
            return None
        width *= 10.0


def _first_met(rule: RuleEvaluator, path: Interpolant, low: float, high: float) -> float:
    """Return the time at which the rule comes to be met between ``low`` and ``high``, to the last bit or two.

    ``high`` itself where it is not met there: the rule touches 0.
    """
    if not rule.is_met(rule(high, path(high))):
        return high
    while True:
        middle = low + 0.5 * (high - low)
        if not low < middle < high or high - low <= 2 * np.spacing(max(abs(low), abs(high))):
            return high
        if rule.is_met(rule(middle, path(middle))):
            high = middle
        else:
            low = middle
