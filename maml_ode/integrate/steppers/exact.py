"""Affine phases by their closed form."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.integrate.exact import ExactPhase
from maml_ode.integrate.norms import vector_norm
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.steppers.protocol import Look
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Crossing, Finding
from maml_ode.stop import Stop, StopReason

__all__ = ["ExactStepper"]

ONE_HESSIAN = Counts(hessians=1)


class ExactStepper:
    """One eigendecomposition a phase; the times at which norms are reached are roots of its formula.

    Parameters
    ----------
    record : Record
    tally : Tally
    t_max : float
    """

    locates = True

    def __init__(self, record: Record, tally: Tally, t_max: float) -> None:
        self._record = record
        self._tally = tally
        self._t_max = t_max

    def arrive(self, segment: Segment) -> Stop | None:
        """Leave everything to the formula."""
        return None

    def land(self, segment: Segment, plan: Plan, crossing: Crossing) -> None:
        """Do nothing: the phase was followed to its very end."""

    def run(self, segment: Segment, plan: Plan, look: Look) -> Finding:
        """Follow the phase to its end, and say what ended it."""
        t, number, rule = self._record.t, segment.number, segment.rule
        exact = self._begin(segment)
        own = -1.0 if rule is None else rule.rule.scale or 0.0
        threshold = max(segment.tol, own) if segment.tol > 0 or rule is not None else -1.0
        duration = exact.time_to_norm(threshold) if threshold >= 0 else math.inf
        ends_here = math.isfinite(duration) and t + duration <= self._t_max
        if not ends_here and math.isinf(self._t_max):
            raise ValueError(
                f"phase {number} never reaches a field norm of {max(threshold, 0.0):g}: a part of the field "
                "lies in the null space or in a growing direction of its matrix; pass t_max."
            )
        end = t + duration if ends_here else self._t_max
        overflow = self._follow(exact, end, number)
        if overflow is not None:
            return Finding(overflow)
        t = self._record.t
        if not ends_here:
            return Finding(Stop(StopReason.HORIZON, f"t = {t:.6g}.", asked_for=True))
        if rule is not None and own >= segment.tol:
            crossing = Crossing(t, self._record.w, t, t)
            return Finding(Stop(StopReason.SWITCHED), crossing=crossing)
        return Finding(self._stationarity(segment, threshold))

    def _begin(self, segment: Segment) -> ExactPhase:
        field = segment.leg.field
        if field.affine is None:
            raise RuntimeError("an affine field lost its matrix; this is a defect of maml_ode.")
        self._tally.check_limits()
        self._tally.nfev += 1
        self._tally.njev += 1
        self._tally.nlu += 1
        self._tally.add(field.cost)
        self._tally.add(ONE_HESSIAN)
        return ExactPhase.begin(field.affine, self._record.t, np.array(self._record.w))

    def _follow(self, exact: ExactPhase, end: float, number: int) -> Stop | None:
        """Record the phase up to ``end``; return the stop of a state that overflows before it."""
        duration = end - exact.start
        times = exact.sample_times(duration) if duration > 0 else np.array([exact.start])
        times[-1] = end  # start + (end - start) may miss it by a rounding error
        with np.errstate(over="ignore", invalid="ignore"):
            states = exact.states(times).T
        finite = np.isfinite(states).all(axis=1)
        good = int(np.argmin(finite)) if not finite.all() else times.size
        self._record.extend(times[1:good], np.ascontiguousarray(states[1:good]), number)
        self._record.keep(self._record.t, _Piece(exact))
        if good == times.size:
            return None
        detail = (
            f"The state grows beyond the largest number after t = {self._record.t:.6g}; pass a t_max "
            "below that."
        )
        return Stop(StopReason.NON_FINITE, detail)

    def _stationarity(self, segment: Segment, threshold: float) -> Stop:
        """End in stationarity if the field evaluated at the end, not the formula for its norm, says so."""
        t = self._record.t
        size = vector_norm(segment.leg.field(self._record.w))
        self._tally.nfev += 1
        self._tally.add(segment.leg.field.cost)
        numbers = f"{size:.6g} at tol = {threshold:g}, t = {t:.6g}"
        if size <= threshold * (1 + 1e-3):
            excess = "" if size <= threshold else "; the excess is rounding"
            return Stop(StopReason.STATIONARY, f"{numbers}{excess}.", asked_for=True)
        detail = f"Rounding leaves {numbers}, the time at which the exact norm is tol; raise tol."
        return Stop(StopReason.TOLERANCE_OUT_OF_REACH, detail)


class _Piece:
    """A phase as a piece of the continuous solution: called as SciPy's interpolants are."""

    def __init__(self, exact: ExactPhase) -> None:
        self._exact = exact

    def __call__(self, t: float | Array) -> Array:
        states = self._exact.states(np.atleast_1d(np.asarray(t, dtype=np.float64)))
        return states[:, 0] if np.ndim(t) == 0 else states
