"""What of a phase the compiled loop can heed by itself, and when every step has to be shown."""

from __future__ import annotations

import math
from typing import Any

from maml_ode._validation import Array
from maml_ode.flows.fields import VectorField
from maml_ode.flows.second_order_fields import SecondOrderField
from maml_ode.integrate.norms import vector_norm
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.watch.stiffness import STEPS_BETWEEN_LOOKS

__all__ = ["Attention"]

UNLIMITED = 2**62


class Attention:
    """Says how many steps the loop may take unseen, and what it is to come back for.

    The loop can follow the norm of the phase's own field: for stationarity, for a rule that ends the phase at a
    size of that norm, and for a norm that hovers. Everything else is seen to step by step.

    Parameters
    ----------
    segment : Segment
    plan : Plan
    every_step : bool
        Whether somebody else wants to see every step.
    t, w
        Where the loop begins.
    """

    def __init__(self, segment: Segment, plan: Plan, every_step: bool, t: float, w: Array) -> None:
        rule = segment.rule
        self._segment = segment
        self._plan = plan
        self._threshold = 0.0
        if rule is not None and rule.shares_field:
            self._threshold = rule.rule.scale or 0.0
        self._each = every_step or plan.enforce_energy
        self._each |= rule is not None and self._threshold == 0.0
        # A rule that has begun its phase is waited for until it has moved away.
        waits = rule is not None and rule.recurs and not self._each
        self._armed = not waits or self._is_away(vector_norm(segment.evaluator(t, w)))
        self._taken = 0

    def room(self, steps: int) -> int:
        """Return how many steps may be taken unseen in a run that has taken ``steps``."""
        if self._each or not self._armed:
            return 1
        room = max(1, self._plan.max_steps - steps)
        if self._plan.stiff_method is not None:
            room = min(room, STEPS_BETWEEN_LOOKS - self._taken % STEPS_BETWEEN_LOOKS)
        return room

    def saw(self, count: int, norm: float) -> None:
        """Take note of a batch of ``count`` steps at whose end the field's norm is ``norm``."""
        self._taken += count
        self._armed = self._armed or self._is_away(norm)

    def _is_away(self, norm: float) -> bool:
        """Whether the state has moved away from where the phase's rule is met."""
        rule = self._segment.rule
        return rule is None or rule.rule.sign * (norm - self._threshold) > rule.residue

    def entries(self) -> dict[str, Any]:
        """Return what the loop's record has to say of this."""
        rule, plan = self._segment.rule, self._plan
        patient = self._segment.tol > 0 and math.isfinite(plan.t_max)
        # A patient watch of a norm that hovers can only lower tolerances, and these may be fixed.
        deaf = patient and plan.tolerances.tightened() is None
        return {
            "target": self._segment.tol,
            "threshold": self._threshold,
            "sign": 0.0 if rule is None or self._each else rule.rule.sign,
            "watches_stall": not deaf and (self._segment.tol > 0 or self._threshold > 0),
            **_second_order(self._segment.leg.field),
        }


def _second_order(field: VectorField) -> dict[str, float]:
    """Return what the loop's record says of a field of second order: how its norm is taken."""
    # The look at the class is slow, so the fields that say they are not lifted are not looked at.
    if not field.is_lifted or not isinstance(field, SecondOrderField):
        return {}
    return {
        "observed": field.dim,
        "clocked": field.clock is not None,
        "friction": field.friction_number,
    }
