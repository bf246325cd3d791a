"""What the driver asks of a way to advance a phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from maml_ode.integrate.plan import Plan
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.watch.finding import Crossing, Finding, Step
from maml_ode.stop import Stop

__all__ = ["Look", "Stepper"]

# Shown every batch of accepted steps; says what ends the phase, or None to go on.
Look = Callable[[Step], Finding | None]


class Stepper(Protocol):
    """Advances a phase from the record's present state, and tells every batch of steps that it accepts.

    Attributes
    ----------
    locates : bool
        Whether a rule is located inside the step in which it is met. If not, it is looked at between
        steps only, as a discrete algorithm does.
    by_formula : bool
        Whether the stepper itself finds that a rule is met where its phase begins.
    """

    locates: bool
    by_formula: bool

    def arrive(self, segment: Segment) -> Stop | None:
        """Look at the state in which a phase begins; return what ends the run there, or None."""

    def run(self, segment: Segment, plan: Plan, look: Look) -> Finding:
        """Advance until ``look`` finds something or the method ends; return what was found."""

    def land(self, segment: Segment, plan: Plan, crossing: Crossing) -> None:
        """Bring the record to the state in which the phase ends."""
