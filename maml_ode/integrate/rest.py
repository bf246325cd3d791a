"""A phase at rest: when its ending rule is met if it looks at the time."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.integrate.evaluation import RuleEvaluator

__all__ = ["time_at_rest"]

LOOKS = 256
DOUBLINGS = 200


def time_at_rest(rule: RuleEvaluator, t: float, w: Array, t_max: float) -> float | None:
    """Return the first time after ``t`` at which ``rule`` is met in the state ``w``; None if there is none.

    Looks are spread evenly up to a finite ``t_max``; with an infinite one they double their distance.
    """
    if math.isfinite(t_max):
        times = list(np.linspace(t, t_max, LOOKS + 1)[1:])
    else:
        unit = abs(t) or 1.0
        times = [t + unit * 2.0**k for k in range(-20, DOUBLINGS)]
    before = t
    for later in map(float, times):
        if rule.is_met(rule(later, w)):
            return _bisect(rule, w, before, later)
        before = later
    return None


def _bisect(rule: RuleEvaluator, w: Array, low: float, high: float) -> float:
    while True:
        middle = low + 0.5 * (high - low)
        if not low < middle < high:
            return high
        if rule.is_met(rule(middle, w)):
            high = middle
        else:
            low = middle
