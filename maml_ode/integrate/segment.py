"""One phase as a stepper advances it."""

from __future__ import annotations

from typing import NamedTuple

from maml_ode.flows.flow import Leg
from maml_ode.integrate.evaluation import FieldEvaluator, RuleEvaluator

__all__ = ["Segment"]


class Segment(NamedTuple):
    """A phase with its evaluators.

    Attributes
    ----------
    number : int
        The phase's number in the path.
    leg : Leg
    evaluator : FieldEvaluator
    rule : RuleEvaluator or None
    tol : float
        Stationarity of this phase; 0 for no test.
    wanted : bool
        Whether coming to rest here is what the run was asked for.
    """

    number: int
    leg: Leg
    evaluator: FieldEvaluator
    rule: RuleEvaluator | None
    tol: float
    wanted: bool
