"""The test that ends a run: the norm of the final phase's field, at an accepted state."""

from __future__ import annotations

from maml_ode.integrate.watch.finding import Finding, Step
from maml_ode.stop import Stop, StopReason

__all__ = ["StationarityWatch", "stationary"]


def stationary(norm: float, tol: float, t: float, asked_for: bool) -> Stop | None:
    """Return the stop of a field whose norm has fallen to ``tol``; 0 switches the test off."""
    if tol <= 0 or not norm <= tol:
        return None
    detail = f"{norm:.3g} <= tol = {tol:g} at t = {t:.6g}."
    return Stop(StopReason.STATIONARY, detail, asked_for)


class StationarityWatch:
    """Ends a final phase where its field's norm has fallen to ``tol``."""

    def __init__(self, tol: float, asked_for: bool) -> None:
        self._tol = tol
        self._asked_for = asked_for

    def look(self, step: Step) -> Finding | None:
        """Look at the norm at the step's end."""
        stop = stationary(step.norm, self._tol, step.t, self._asked_for)
        return None if stop is None else Finding(stop)
