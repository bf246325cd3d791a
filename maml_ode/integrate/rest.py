"""A phase at rest: whether its ending rule is ever met."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows.switch_rules import CallableRule
from maml_ode.integrate.evaluation import RuleEvaluator
from maml_ode.integrate.norms import vector_norm
from maml_ode.integrate.plan import Tolerances
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.watch.clockless import without_clock
from maml_ode.stop import Stop, StopReason

__all__ = ["never_met", "time_at_rest", "waits_for_ever"]

LOOKS = 256
DOUBLINGS = 200
# A phase that, at its present speed, would move by less than this share of its way in as much time again...
SLOW = 1e-3
# ... is at rest if that is below the error tolerance, or below rounding.
ROUNDING = 1e-12


def never_met(number: int, t: float) -> Stop:
    """Return the stop of a phase that is at rest before its rule is met."""
    detail = (
        f"Phase {number} is at rest from t = {t:.6g} on and its ending rule is not met, so that no phase after "
        "it begins."
    )
    return Stop(StopReason.STATIONARY, detail)


def waits_for_ever(
    segment: Segment, t: float, w: Array, record: Record, tolerances: Tolerances, tol: float
) -> bool:
    """Whether a phase that began in ``w`` at ``t`` and came to the horizon rests there, its rule never met.

    It rests where the norm of its field is at most ``tol``, as a final phase does, or where it moves by less than
    what is resolved. A phase that ends at its own field's norm comes there if it rests.
    """
    rule = segment.rule
    if rule is None or segment.leg.final or (rule.shares_field and rule.rule.scale):
        return False
    lasted = record.t - t
    field, value = segment.leg.field, segment.evaluator(record.t, record.w)
    ahead = segment.evaluator.norm(record.w, value) * lasted
    way = vector_norm(without_clock(field, record.w - w))
    resolved = tolerances.atol + tolerances.rtol * vector_norm(without_clock(field, record.w))
    if ahead > max(ROUNDING * way, min(max(resolved, tol * lasted), SLOW * way)):
        return False
    return time_at_rest(rule, record.t, record.w, math.inf) is None


def time_at_rest(rule: RuleEvaluator | None, t: float, w: Array, t_max: float) -> float | None:
    """Return the first time after ``t`` at which ``rule`` is met in the state ``w``; None if there is none.

    Only a user's function can look at the time. Looks are spread evenly up to a finite ``t_max``; with an
    infinite one they double their distance.
    """
    if rule is None or not isinstance(rule.rule, CallableRule):
        return None
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
