"""Roots of scalar functions, by Brent's method.

The steps and the digits are those of ``scipy.optimize.brentq``, whose import alone takes longer than most runs
that need a root.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["brent"]

MOST_STEPS = 100


def brent(
    function: Callable[[float], float], low: float, high: float, *, xtol: float, rtol: float
) -> tuple[float, bool]:
    """Return a root between ``low`` and ``high``, and whether it was found to within the tolerances.

    The function's values at the two ends differ in sign, or one of them is 0. The root is found to within
    xtol + rtol |root| (R. P. Brent, "Algorithms for Minimization Without Derivatives", 1973, chapter 4).

    Raises
    ------
    ValueError
        If the function has the same sign at both ends, or is NaN where it is evaluated.
    """
    before, here = float(low), float(high)
    f_before, f_here = _evaluated(function, before), _evaluated(function, here)
    if f_before == 0.0:
        return before, True
    if f_here == 0.0:
        return here, True
    if math.copysign(1.0, f_before) == math.copysign(1.0, f_here):
        raise ValueError("the function must have different signs at the two ends.")
    other = f_other = last_step = step = 0.0
    for _ in range(MOST_STEPS):
        if f_before != 0.0 and math.copysign(1.0, f_before) != math.copysign(1.0, f_here):
            other, f_other = before, f_before
            last_step = step = here - before
        if abs(f_other) < abs(f_here):
            before, here, other = here, other, here
            f_before, f_here, f_other = f_here, f_other, f_here
        resolved = (xtol + rtol * abs(here)) / 2
        half = (other - here) / 2
        if f_here == 0.0 or abs(half) < resolved:
            return here, True
        trial = math.nan
        if abs(last_step) > resolved and abs(f_here) < abs(f_before):
            trial = _interpolated(before, f_before, here, f_here, other, f_other)
        if 2 * abs(trial) < min(abs(last_step), 3 * abs(half) - resolved):
            last_step, step = step, trial
        else:
            last_step = step = half
        before, f_before = here, f_here
        here += step if abs(step) > resolved else math.copysign(resolved, half)
        f_here = _evaluated(function, here)
    return here, False


def _evaluated(function: Callable[[float], float], x: float) -> float:
    value = float(function(x))
    if math.isnan(value):
        raise ValueError(f"the function whose root is looked for is NaN at {x:.6g}.")
    return value


def _interpolated(
    before: float, f_before: float, here: float, f_here: float, other: float, f_other: float
) -> float:
    """Return the step of the secant, or of inverse quadratic interpolation; NaN where it divides by 0."""
    try:
        if before == other:
            return -f_here * (here - before) / (f_here - f_before)
        slope = (f_before - f_here) / (before - here)
        across = (f_other - f_here) / (other - here)
        top = f_other * across - f_before * slope
        return -f_here * top / (across * slope * (f_other - f_before))
    except ZeroDivisionError:
        return math.nan
